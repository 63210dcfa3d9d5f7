"""One Airflow DAG per route of webhook_routes.yaml. What is wrong there is raised by webhook_routes_errors.py."""

from __future__ import annotations

from pathlib import Path

from auth0_webhooks.route_dag import build_dag
from auth0_webhooks.settings.routes_file import load_routes

_routes = load_routes(Path(__file__).with_name("webhook_routes.yaml"))[0]
for _route in _routes:
    globals()[_route.name] = build_dag(_route, _routes)
