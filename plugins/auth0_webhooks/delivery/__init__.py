"""The delivery of one run's events: what is done, what may start next, what is saved, what is set aside."""
