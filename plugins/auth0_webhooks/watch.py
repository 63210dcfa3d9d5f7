"""Where 0.1.0 had the watch: Airflow's database names it until the DAGs are parsed once after an upgrade."""

from __future__ import annotations

from auth0_webhooks.triggers.log_watch import LogWatch

__all__ = ["LogWatch"]
