"""The audit: reads the tenant's log again, and compares it with what the routes' runs accounted for."""
