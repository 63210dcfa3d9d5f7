"""A simulated Auth0 tenant, a webhook receiver and a throw-away Airflow, for the demo and the tests."""
