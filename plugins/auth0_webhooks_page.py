"""Airflow's plugin: the page "Auth0 webhooks" in the navigation, and as a tab on every DAG."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

# Not beginning with /auth: Airflow keeps every such prefix for itself.
PREFIX = "tenant-logs"


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
