"""The assets of a route: one starts its runs, one starts other DAGs after them."""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias

from auth0_webhooks.names import delivered_name, new_events_name
from auth0_webhooks.settings.route import Route


def new_events_asset(route: Route) -> Asset:
    """Updated when there is something to read: by the watch, and by a run that stopped at its limit."""
    return Asset(name=new_events_name(route.name))


def delivered_asset(route: Route) -> Asset:
    """Updated, with the report as the event's extra, by each run that delivered something: for DAGs that are to run after it."""
    return Asset(name=delivered_name(route.name))


def drain_alias(route: Route) -> AssetAlias:
    """The outlet through which ``deliver`` updates :func:`new_events_asset` when there is more to read, and only then."""
    return AssetAlias(name=f"{route.name}_drain")


def delivered_alias(route: Route) -> AssetAlias:
    """The outlet through which ``deliver`` updates :func:`delivered_asset` when it delivered something."""
    return AssetAlias(name=f"{route.name}_report")
