"""What outlives a task: Variables, dead letters, the batches between tasks."""
