"""The page "Auth0 webhooks" inside Airflow's UI: its API, and the files that a browser loads."""
