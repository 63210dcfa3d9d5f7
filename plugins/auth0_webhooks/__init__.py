"""Reads an Auth0 tenant's log and delivers the wanted events to a webhook, at least once."""
