"""What goes with docker-compose.yaml."""
