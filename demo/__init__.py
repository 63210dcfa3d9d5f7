"""Demonstrates the main job: with ``make demo``, and in the demo profile of docker-compose.yaml."""
