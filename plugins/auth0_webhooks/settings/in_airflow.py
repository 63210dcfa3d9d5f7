"""A route's settings as Airflow keeps them: in the extra of the asset that starts the route's runs.

Airflow writes them whenever it parses the route's DAG, wherever the route comes from. The page and the DAG of the dead letters
read them there, so that neither needs the file, and both know the routes of every file.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from auth0_webhooks.names import ROUTE_EXTRA
from auth0_webhooks.settings.route import Route


def to_extra(route: Route) -> dict[str, Any]:
    """The settings that are not at their defaults, as JSON."""
    return {ROUTE_EXTRA: route.model_dump(mode="json", exclude_defaults=True)}


def from_extra(extra: Any) -> Route | None:
    """The route in such an extra; None where there is none, or one that this version does not understand."""
    settings = extra.get(ROUTE_EXTRA) if isinstance(extra, dict) else None
    if not isinstance(settings, dict):
        return None
    try:
        return Route(**settings)
    except (ValidationError, TypeError):
        return None
