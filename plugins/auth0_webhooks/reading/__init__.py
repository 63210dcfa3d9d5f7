"""Reads a tenant's log, and interprets the answers of Auth0's Management API."""
