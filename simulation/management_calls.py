"""The details of a call of Auth0's Management API: the largest log events, with the token's scopes and the whole answer."""

from __future__ import annotations

import random
from typing import Any

_RESOURCES = """
    actions anomaly_blocks attack_protection branding client_credentials client_grants client_keys clients connections
    custom_domains device_credentials email_provider email_templates encryption_keys event_streams flows forms grants
    guardian_factors hooks insights log_streams logs mfa_policies network_acls organizations organization_members prompts
    refresh_tokens resource_servers roles role_members rules self_service_profiles sessions shields signing_keys stats
    tenant_settings tickets triggers user_attribute_profiles users users_app_metadata
""".split()  # noqa: SIM905 - a list of words is easier to read so
_SCOPES = [f"{verb}:{resource}" for resource in _RESOURCES for verb in ("read", "create", "update", "delete")]
# Characters of the details' JSON: with its other fields an event has 5 to 20 kB.
_SMALL, _LARGE = 4_500, 17_000
# Characters that a scope and a pair of addresses take.
_SCOPE, _PAIR = 26, 115


def management_call(log_type: str, chance: random.Random) -> dict[str, Any]:
    """Details of ``sapi`` (a change), ``fapi`` (a change refused) or ``mgmt_api_read``, with gaps as in ``events``."""
    read = log_type == "mgmt_api_read"
    size = chance.randrange(_SMALL, _LARGE)
    scopes = sorted(chance.sample(_SCOPES, min(len(_SCOPES), max(100, size // 100))))
    request: dict[str, Any] = {
        "method": "GET" if read else chance.choice(("PATCH", "POST", "PUT")),
        "path": chance.choice(("/api/v2/clients/~client_id~", "/api/v2/users/auth0%7C~identity~", "/api/v2/organizations")),
        "query": {},
        "userAgent": "~agent~",
        "channel": chance.choice(("api", "https://manage.auth0.com/")),
        "ip": "~ip~",
        "auth": {
            "user": {"user_id": "~user_id~", "name": "~user~", "email": "~user~"},
            "strategy": "jwt",
            "credentials": {"jti": "~token~"} if read else {"jti": "~token~", "scopes": scopes},
        },
    }
    if not read:
        request["body"] = {
            "name": "~client_name~",
            "callbacks": _addresses("callback", 3),
            "client_metadata": {"owner": "~user~"},
        }
    if log_type == "fapi":
        message = f"Insufficient scope, expected any of: {chance.choice(_SCOPES)}"
        body = {"statusCode": 403, "error": "Forbidden", "message": message, "errorCode": "insufficient_scope"}
        return {"request": request, "response": {"statusCode": 403, "body": body}}
    answer = _client(max(1, (size - (0 if read else len(scopes) * _SCOPE)) // _PAIR))
    secrets = ["client_secret"] if chance.random() < 0.5 else []
    return {"request": request, "response": {"statusCode": 200, "body": [answer] if read else answer}, "accessedSecrets": secrets}


def _addresses(name: str, count: int) -> list[str]:
    return [f"https://branch-{number}.preview.shop.example/{name}" for number in range(count)]


def _client(count: int) -> dict[str, Any]:
    """A client as the API answers it, with as many addresses as make it large."""
    return {
        "client_id": "~client_id~", "name": "~client_name~", "tenant": "demo-tenant", "global": False, "is_first_party": True,
        "oidc_conformant": True, "app_type": "regular_web", "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "implicit", "refresh_token", "client_credentials"], "client_secret": "*****",
        "jwt_configuration": {"alg": "RS256", "lifetime_in_seconds": 36000, "secret_encoded": False},
        "refresh_token": {"rotation_type": "rotating", "expiration_type": "expiring", "leeway": 0, "token_lifetime": 2592000},
        "callbacks": _addresses("callback", count), "allowed_logout_urls": _addresses("logout", count),
    }  # fmt: skip
