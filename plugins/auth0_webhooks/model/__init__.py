"""What everything else is about: log events, batches of them, and the checkpoint between them. Imports nothing of Airflow."""
