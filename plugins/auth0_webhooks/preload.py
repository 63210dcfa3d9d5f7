"""Imports what a route's tasks import, once, before their processes are forked: a task then needs a quarter of the CPU.

For Airflow's setting ``[scheduler] mp_forkserver_preload``, with LocalExecutor and ``mp_start_method = forkserver``. The fork
server imports this module and does nothing else, so no other process pays for it. Importing opens no socket and starts no thread.
"""

from __future__ import annotations

import importlib

MODULES = (
    # Airflow's: what starts a task, reads its DAG file and renders its fields.
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.bundles.local",
    "airflow.providers.http.notifications",
    "jinja2.ext",
    "jsonschema",
    # The route's: its DAG, and what the three tasks import when they run.
    "auth0_webhooks.page.plugin",
    "auth0_webhooks.authoring",
    "auth0_webhooks.delivery.delivery",
    "auth0_webhooks.delivery.probe",
    "auth0_webhooks.hooks.auth0",
    "auth0_webhooks.hooks.webhook",
    "auth0_webhooks.operators.reporting",
    "auth0_webhooks.reading.live",
    "auth0_webhooks.state.dead_letters",
    "auth0_webhooks.state.health",
    "auth0_webhooks.state.kept_hashes",
    "auth0_webhooks.state.window_progress",
    "auth0_webhooks.webhook.endpoint",
)

for _module in MODULES:
    importlib.import_module(_module)
