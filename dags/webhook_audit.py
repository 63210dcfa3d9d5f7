"""The Airflow DAG that audits all routes, paused until you enable it: one for all route files."""

from __future__ import annotations

from pathlib import Path

from auth0_webhooks import build_audit_dag, load_routes

dag = build_audit_dag(load_routes(Path(__file__).with_name("webhook_routes.yaml"))[0])
