"""Airflow's plugin where the library is in the plugins folder: the page "Auth0 webhooks"."""

from __future__ import annotations

from auth0_webhooks.page.plugin import from_folder

Auth0WebhooksPage = from_folder(__file__)
