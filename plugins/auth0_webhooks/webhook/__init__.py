"""The webhook: its endpoint, one POST with its retries, and the table that maps answers to outcomes."""
