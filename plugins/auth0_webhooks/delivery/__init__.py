"""Delivers one run's events: tracks what is done and what may start next, saves the checkpoint, sets refused events aside."""
