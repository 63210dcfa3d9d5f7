"""Tools for docker-compose.yaml."""
