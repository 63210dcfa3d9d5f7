"""Airflow's plugin: the page "Auth0 webhooks" in the navigation, and as a tab on every DAG.

Airflow finds it through the entry point of the installed package, and through ``auth0_webhooks_page.py`` in a plugins folder.
Where both are there it must find one only: it takes a second plugin of a name for an error, and the processes that run tasks
then skip the plugins of other packages that are still to come (3.3.2, ``airflow.sdk.plugins_manager``).
"""

from __future__ import annotations

import functools
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


_given: list[Path] = []
"""The file of a plugins folder that has got the plugin. Airflow loads that file once for its server and once for tasks."""


def from_folder(file: str) -> type[Auth0WebhooksPage] | None:
    """The plugin for a file of a plugins folder, which Airflow loads before the entry points; None for a second such file.

    :param file: the path of that file. A warning names its library if that is not the one in use: an update of it would
        change nothing.
    """
    path = Path(file).resolve()
    _report_copies(path)
    if not _given:
        _given.append(path)
    elif path != _given[0]:
        log.warning("the plugins folder has %s.py twice: %s is used, %s is not. Remove one of them", FILE, _given[0], path)
        return None
    return Auth0WebhooksPage


@functools.cache
def _report_copies(file: Path) -> None:
    beside, used = file.with_name("auth0_webhooks"), Path(__file__).resolve().parents[1]
    if beside.is_dir() and beside != used:
        log.warning(
            "there are two copies of auth0_webhooks: the one in %s is used, the one in %s is not. Remove one of them: uninstall "
            "the package auth0-log-webhooks, or remove auth0_webhooks and %s.py from the plugins folder",
            used,
            beside,
            FILE,
        )


def __getattr__(name: str) -> Any:
    """``by_entry_point``: the plugin for the entry point, or None, which Airflow ignores, if it comes from a plugins folder."""
    if name != "by_entry_point":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = sys.modules.get(FILE)
    if not hasattr(module, "Auth0WebhooksPage"):
        return Auth0WebhooksPage
    if file := getattr(module, "__file__", None):
        _report_copies(Path(file).resolve())  # the file of version 0.1.0 does not ask for it
    return None
