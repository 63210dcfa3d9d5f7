"""The commands of ``python -m auth0_webhooks``."""
