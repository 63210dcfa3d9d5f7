"""A simulated Auth0 tenant, a webhook receiver and a throw-away Airflow, which the demo, the tests and the benchmark share."""
