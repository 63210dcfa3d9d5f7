"""One Airflow DAG per route of webhook_routes.yaml. What is wrong there is raised by webhook_routes_errors.py."""

from __future__ import annotations

from auth0_webhooks import build_dags

globals().update(build_dags("webhook_routes.yaml"))
