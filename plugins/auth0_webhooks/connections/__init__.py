"""Airflow connections: how they are read, and what their fields mean."""
