"""Airflow's plugin: the page "Auth0 webhooks" in the navigation, and as a tab on every DAG.

Airflow finds it through the entry point of the installed package, and through ``auth0_webhooks_page.py`` in a plugins folder.
Where both are there it must find one only: it takes a second plugin of a name for an error, and the processes that run tasks
then skip the plugins of other packages that are still to come (3.3.2, ``airflow.sdk.plugins_manager``).
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

# Not beginning with /auth: Airflow keeps every such prefix for itself.
PREFIX = "tenant-logs"
FILE = "auth0_webhooks_page"
"""The name of the file in a plugins folder, by which Airflow also names the module that it makes of it."""


async def _serve(scope: Any, receive: Any, send: Any) -> None:
    """The page's app, imported by the first request: every process of Airflow's loads plugins, and only one serves pages."""
    from auth0_webhooks.page.api import app

    await app(scope, receive, send)


class Auth0WebhooksPage(AirflowPlugin):
    """Mounts the page, and names its places in Airflow's UI."""

    name = "auth0_webhooks_page"
    fastapi_apps = [{"app": _serve, "url_prefix": f"/{PREFIX}", "name": "Auth0 webhooks"}]  # noqa: RUF012 - Airflow's own way
    external_views = [  # noqa: RUF012
        {
            "name": "Auth0 webhooks",
            "href": f"{PREFIX}/page",
            "destination": "nav",
            "category": "browse",
            "url_route": "auth0-webhooks",
        },
        {
            "name": "Auth0 webhooks",
            "href": f"{PREFIX}/page?dag={{DAG_ID}}",
            "destination": "dag",
            "url_route": "auth0-webhook-route",
        },
    ]


def from_folder(file: str) -> type[Auth0WebhooksPage]:
    """The plugin for a file of a plugins folder, which Airflow reads before the entry points.

    Says so where the library beside that file is not the one that is used: an update of it would change nothing.
    """
    beside, used = Path(file).resolve().with_name("auth0_webhooks"), Path(__file__).resolve().parent
    if beside.is_dir() and beside != used:
        log.warning(
            "there are two copies of auth0_webhooks: the one in %s is used, the one in %s is not. Remove one of them: uninstall "
            "the package auth0-log-webhooks, or take auth0_webhooks and %s.py out of the plugins folder",
            used,
            beside,
            FILE,
        )
    return Auth0WebhooksPage


def __getattr__(name: str) -> Any:
    """``by_entry_point``: the plugin for the entry point, or None, which Airflow passes over, where it comes from the folder."""
    if name != "by_entry_point":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return None if hasattr(sys.modules.get(FILE), "Auth0WebhooksPage") else Auth0WebhooksPage
