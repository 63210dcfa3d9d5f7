"""What a run reads of a tenant's log, and what the answers of Auth0's Management API mean."""
