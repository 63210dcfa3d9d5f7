"""Shows the main job: by ``make demo``, and in the demo profile of docker-compose.yaml."""
