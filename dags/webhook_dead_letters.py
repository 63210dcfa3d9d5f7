"""The Airflow DAG that lists the dead letters of all routes and sends them again: one for all route files."""

from __future__ import annotations

from pathlib import Path

from auth0_webhooks import build_dead_letter_dag, load_routes

dag = build_dead_letter_dag(load_routes(Path(__file__).with_name("webhook_routes.yaml"))[0])
