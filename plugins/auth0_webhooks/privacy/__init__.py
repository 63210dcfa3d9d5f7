"""Removes user data from a route's events before anyone else sees them."""
