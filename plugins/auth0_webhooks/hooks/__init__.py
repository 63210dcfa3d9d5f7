"""Airflow hooks: the Auth0 tenant, and a route's webhook."""
