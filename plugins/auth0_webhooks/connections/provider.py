"""The forms of the connection types "Auth0 tenant" and "Webhook".

Airflow finds them through the entry point ``apache_airflow_provider`` in pyproject.toml, so only if the project is installed.
Nothing else depends on them: no code reads a connection's type, and connections of type ``http`` work the same.
Every Airflow process calls this, so it imports nothing.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider info that Airflow reads; its keys are those of Airflow's ``provider_info.schema.json``."""
    text, switch = {"type": ["string", "null"]}, {"type": ["boolean", "null"]}
    secrets = {"type": ["array", "null"], "items": {"type": "string"}}
    pairs = {"type": ["object", "null"]}
    return {
        "package-name": "auth0-log-webhooks",
        "name": "Auth0 log webhooks",
        "description": "Auth0 tenant log events to webhooks.",
        "connection-types": [
            {
                "connection-type": "auth0",
                "hook-class-name": "auth0_webhooks.hooks.connection_types.TenantConnectionHook",
                "hook-name": "Auth0 tenant",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"host": "Tenant domain", "login": "Client ID", "password": "Client secret"},
                    "placeholders": {"host": "example.eu.auth0.com"},
                },
                "conn-fields": {
                    "audience": {
                        "label": "Audience",
                        "description": "Only for a custom domain: https://TENANT.eu.auth0.com/api/v2/",
                        "schema": text,
                    },
                    "api_reserve": {
                        "label": "API reserve, percent",
                        "description": "How much of the Management API's rate limit stays for others: 20 (the default) to 90",
                        "schema": {"type": ["integer", "null"], "minimum": 20, "maximum": 90},
                    },
                },
            },
            {
                "connection-type": "webhook",
                "hook-class-name": "auth0_webhooks.hooks.connection_types.WebhookHook",
                "hook-name": "Webhook",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"host": "URL", "login": "User (Basic auth)", "password": "Password (Basic auth)"},
                    "placeholders": {"host": "https://hooks.example.com/auth0"},
                },
                "conn-fields": {
                    "signing_secrets": {
                        "label": "Signing secrets",
                        "description": "whsec_ and the base64 of 24 to 64 random bytes, newest first. Each signs every POST.",
                        "schema": secrets,
                    },
                    "headers": {
                        "label": "Request headers",
                        "description": 'Sent with each POST, such as {"Authorization": "Bearer ..."}',
                        "schema": pairs,
                    },
                    "body_secrets": {
                        "label": "Body secrets",
                        "description": 'Added to the JSON object that each POST sends, such as {"routing_key": "..."}',
                        "schema": pairs,
                    },
                    "pseudonym_secret": {
                        "label": "Pseudonym secret",
                        "description": "Needed if a route's redact uses pseudonyms: a random text of at least 32 characters.",
                        "schema": {**text, "format": "password"},
                    },
                    "verify": {
                        "label": "Verify the TLS certificate",
                        "description": "If unset, it is verified. To use a CA bundle, put its path into Extra.",
                        "schema": switch,
                    },
                },
            },
        ],
    }
