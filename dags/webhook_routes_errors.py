"""Shows what is wrong in webhook_routes.yaml among Airflow's import errors.

A file of its own: an import error takes every DAG of its file down, and the good routes must keep running. (Airflow skips
files that do not mention "airflow" and "dag"; this one does.)
"""

from __future__ import annotations

from auth0_webhooks import check_routes

check_routes("webhook_routes.yaml")
