"""Where 0.1.0 had the routes: DAG files that were copied from it import from here."""

from __future__ import annotations

import warnings

from auth0_webhooks.names import DEAD_LETTER_DAG_ID
from auth0_webhooks.settings.route import Route, check_run_settings
from auth0_webhooks.settings.routes_file import load_routes
from auth0_webhooks.settings.values import parse_types
from auth0_webhooks.webhook.pacing import MOST_CALLS as MAX_CONCURRENT_CALLS

__all__ = ["DEAD_LETTER_DAG_ID", "MAX_CONCURRENT_CALLS", "Route", "check_run_settings", "load_routes", "parse_types"]

warnings.warn(
    "auth0_webhooks.route is deprecated: import Route and load_routes from auth0_webhooks", DeprecationWarning, stacklevel=2
)
