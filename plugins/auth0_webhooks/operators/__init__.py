"""The tasks of a route's DAG, and what goes with them: alarms and assets."""
