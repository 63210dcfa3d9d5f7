"""What the live tests share: how to look at the stack that conftest.py starts."""

from __future__ import annotations

import json

DAG_ID = "auth0_log_webhooks"
WINDOWS = "security_alerts"
"""A second route, every five minutes, whose tenant and webhook are its own: for backfills."""

WATCHED, FAILING = "logins_failed", "everything"
"""Two routes that watch a third tenant; the webhook of the second refuses all."""


def all_ended(airflow, dag_id=DAG_ID):
    return all(state in {"success", "failed"} for _, state in airflow.runs(dag_id))


def leftovers(airflow):
    return airflow.rows("select key from xcom where key like 'batch%' or key = 'open_batches'")


def wanted(tenant, since=0):
    return [log_id for log_id, kind, _ in tenant.log()[since:] if kind not in {"sapi", "fapi"}]


def as_connection(host, **fields):
    return json.dumps({"conn_type": "http", "host": host, **fields})
