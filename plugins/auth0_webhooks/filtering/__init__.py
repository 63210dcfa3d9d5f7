"""Which log events a route wants."""
