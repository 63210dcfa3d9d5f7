"""The webhook: its endpoint, one POST with its retries, and the table that says what an answer means."""
