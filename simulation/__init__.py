"""A simulated Auth0 tenant, a webhook receiver and a temporary Airflow, which the demo, the tests and the benchmark share."""
