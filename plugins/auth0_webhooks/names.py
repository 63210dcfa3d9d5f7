"""The names of a route's Variables, assets, tags and tasks. Others read them, so they must not change."""

from __future__ import annotations

DEAD_LETTER_DAG_ID = "auth0_webhook_dead_letters"
AUDIT_DAG_ID, AUDIT = "auth0_webhook_audit", "audit"
"""The DAG that compares the log with what the routes' runs accounted for, and its task."""
FETCH, FILTER, DELIVER = "fetch", "filter", "deliver"
"""The task ids of a route's DAG; the DAG's id is the route's name."""
TENANT_TAG = "tenant:"
"""The prefix of the DAG tag that names the connection of a route's tenant."""
ROUTE_EXTRA = "auth0_webhook_route"
"""The key under which the extra of a route's asset of new events holds the route's settings."""


def checkpoint_key(route: str) -> str:
    """The Variable that holds a route's checkpoint."""
    return f"{route}_checkpoint"


def record_key(checkpoint: str) -> str:
    """The Variable of the record that belongs to the Variable ``checkpoint``: the last try's, to tell an older one's."""
    return f"{checkpoint}_writer"


def health_key(route: str) -> str:
    """The Variable that holds a route's health."""
    return f"{route}_health"


def token_key(auth0_conn_id: str) -> str:
    """The Variable that keeps the access token of a tenant."""
    return f"{auth0_conn_id}_token"


def new_events_name(route: str) -> str:
    """The asset that starts a route's live runs."""
    return f"{route}_new_events"


def delivered_name(route: str) -> str:
    """The asset that a run updates after it delivered at least one event."""
    return f"{route}_delivered"
