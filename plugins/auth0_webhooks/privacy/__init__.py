"""What a route takes out of its events before anyone else sees them."""
