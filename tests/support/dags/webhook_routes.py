"""The routes as Airflow builds them from the shipped file of this name, with the waits of waits.json beside it: a test's DAGs."""

from __future__ import annotations

import json
from pathlib import Path

from auth0_webhooks.route_dag import build_dag
from auth0_webhooks.settings.routes_file import load_routes
from auth0_webhooks.waits import Waits

_waits = Waits(**json.loads(Path(__file__).with_name("waits.json").read_text(encoding="utf-8")))
_routes = load_routes(Path(__file__).with_name("webhook_routes.yaml"))[0]
for _route in _routes:
    globals()[_route.name] = build_dag(_route, _routes, waits=_waits)
