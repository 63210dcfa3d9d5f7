"""Reads an Auth0 tenant's log and delivers the wanted events to a webhook, at least once.

What a DAG file needs is importable from here. It is loaded when it is first used: every process of Airflow's imports this
package, for the connection types, and most of them need nothing more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth0_webhooks.authoring import build_dags, check_routes, route_tasks
    from auth0_webhooks.dead_letter_dag import build_dead_letter_dag
    from auth0_webhooks.errors import SettingError
    from auth0_webhooks.route_dag import build_dag, route_schedule
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.settings.routes_file import load_routes

__all__ = [
    "Route",
    "SettingError",
    "build_dag",
    "build_dags",
    "build_dead_letter_dag",
    "check_routes",
    "load_routes",
    "route_schedule",
    "route_tasks",
]

_PLACES = {
    "Route": "settings.route",
    "SettingError": "errors",
    "build_dag": "route_dag",
    "build_dags": "authoring",
    "build_dead_letter_dag": "dead_letter_dag",
    "check_routes": "authoring",
    "load_routes": "settings.routes_file",
    "route_schedule": "route_dag",
    "route_tasks": "authoring",
}


def __getattr__(name: str) -> Any:
    """Import one of ``__all__`` (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
