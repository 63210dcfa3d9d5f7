"""One Airflow DAG per route of webhook_routes.yaml. What is wrong there is raised by webhook_routes_errors.py."""

from __future__ import annotations

from pathlib import Path

from auth0_webhooks import build_dag, load_routes

_routes = load_routes(Path(__file__).with_name("webhook_routes.yaml"))[0]
for _route in _routes:
    globals()[_route.name] = build_dag(_route, _routes)
