"""Reads an Auth0 tenant's log and delivers the wanted events to a webhook, at least once.

What a DAG file needs is importable from here. It is loaded when it is first used: every process of Airflow's imports this
package, for the connection types, and most of them need nothing more.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth0_webhooks.audit.dag import build_audit_dag
    from auth0_webhooks.authoring import build_dags, check_routes, route_tasks
    from auth0_webhooks.dead_letter_dag import build_dead_letter_dag
    from auth0_webhooks.errors import SettingError
    from auth0_webhooks.route_dag import build_dag, route_schedule
    from auth0_webhooks.settings.route import Route
    from auth0_webhooks.settings.routes_file import load_routes

__all__ = [
    "Route",
    "SettingError",
    "build_audit_dag",
    "build_dag",
    "build_dags",
    "build_dead_letter_dag",
    "check_routes",
    "load_routes",
    "route_schedule",
    "route_tasks",
]

__version__ = "0.2.0.dev0"
OLDEST_AIRFLOW = (3, 3)

_PLACES = {
    "Route": "settings.route",
    "SettingError": "errors",
    "build_audit_dag": "audit.dag",
    "build_dag": "route_dag",
    "build_dags": "authoring",
    "build_dead_letter_dag": "dead_letter_dag",
    "check_routes": "authoring",
    "load_routes": "settings.routes_file",
    "route_schedule": "route_dag",
    "route_tasks": "authoring",
}


def _check_airflow() -> None:
    """Stop before something is missing in the middle of a run: older versions lack what retries and the watch are made of.

    By what is installed, since importing Airflow for it would cost every process a second. Where no package of Airflow is found,
    nothing is said: the rules of this package do without.

    :raises ImportError: naming the version needed and the one that is there.
    """
    for package in ("apache-airflow-core", "apache-airflow"):
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < OLDEST_AIRFLOW:
            needed = ".".join(map(str, OLDEST_AIRFLOW))
            raise ImportError(
                f"auth0_webhooks {__version__} needs Apache Airflow {needed} or later, and this is Apache Airflow {found}: "
                "upgrade Airflow, or take auth0_webhooks out of this environment and its plugins folder"
            )
        return


_check_airflow()


def __getattr__(name: str) -> Any:
    """Import one of ``__all__`` (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
