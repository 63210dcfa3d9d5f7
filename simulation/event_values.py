"""Values for the fields of log events: by a field's name where it is known, otherwise by its kind.

``~name~`` in a text, and ``~#name~`` as the whole of one that stands for a number or an object, are gaps: what differs from event
to event (``simulation.events`` fills them).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from simulation.event_shapes import part

Value = str | float | dict[str, Any] | Callable[[random.Random], Any]

_LIBRARIES: tuple[dict[str, Any], ...] = (
    {"name": "auth0-react", "version": "2.2.4", "env": {"node": "22.11.0"}},
    {"name": "auth0.js-ulp", "version": "9.30.1"},
    {"name": "Auth0.swift", "version": "2.11.0", "env": {"swift": "6.x", "iOS": "19.1"}},
)

# By the field's name, or by the name of the object around it and its own.
_VALUES: dict[str | tuple[str, str], Value] = {
    **dict.fromkeys(("ip", "client_ip"), "~ip~"),
    **dict.fromkeys(("user_id", "sub", "username_id"), "~user_id~"),
    **dict.fromkeys(("user_name", "email", "login_hint", "to", "newEmail", "identifier"), "~user~"),
    **dict.fromkeys(("username", "oldUsername", "nickname"), "~username~"),
    **dict.fromkeys(("newUsername", "newUername"), "~new_username~"),
    **dict.fromkeys(("identity_user_id", "idp_user_id", "identity"), "~identity~"),
    **dict.fromkeys(("phone_number", "new_phone_number", "old_phone_number"), "~phone~"),
    **dict.fromkeys((("body", "name"), ("user", "name"), ("inviter", "name")), "~given~ ~family~"),
    ("payload", "name"): "ApiError",
    ("enrollment", "name"): "Pixel 9",
    "given_name": "~given~",
    "family_name": "~family~",
    "session_id": "~session~",
    **dict.fromkeys(("client_id", "clientID", "clientId", "requested_client_id"), "~client_id~"),
    "client_name": "~client_name~",
    **dict.fromkeys(("connection", "connection_name", "session_connection"), "Username-Password-Authentication"),
    "connection_id": "con_ZLs5gRmLyKpY6A4D",
    **dict.fromkeys(("hostname", "host", "custom_domain", "domain"), "demo-tenant.eu.auth0.com"),
    **dict.fromkeys(("tenant_name", "tenant", "host_tenant", "credentials_tenant"), "demo-tenant"),
    "environment_name": "prod-eu-1",
    "version": "1.0.0",
    "auth0_client": lambda chance: chance.choice(_LIBRARIES),
    **dict.fromkeys(("user_agent", "userAgent", "user-agent", "useragent"), "~agent~"),
    "strategy": "auth0",
    "strategy_type": "database",
    "provider": "auth0",
    "date": "~date~",
    "created_at": "2026-11-20T09:15:02.118Z",
    "expires_at": "2026-12-20T09:15:02.118Z",
    **dict.fromkeys(("completedAt", "initiatedAt", "idp_session_expiry", "start"), "~#millis~"),
    "elapsedTime": "~#number~",
    "loginsCount": "~#small~",
    **dict.fromkeys(("jti", "access_token_jti", "state", "_csrf", "ticket", "ticket_id", "code"), "~token~"),
    **dict.fromkeys(("audience", "requested_audience"), "https://api.shop.example/orders"),
    **dict.fromkeys(("scope", "requested_scope"), "openid profile email offline_access read:orders"),
    **dict.fromkeys(("newPassword", "confirmNewPassword"), "*****"),
    **dict.fromkeys(("return_to", "redirect_uri", "resultUrl", "originUrl", "referer"), "https://shop.example/callback?page=1"),
    **dict.fromkeys(("origin", "origins", "allowedOrigins", "webOrigins", "allowed_logout_url"), "https://shop.example"),
    **dict.fromkeys(("link", "url", "resetUrl", "verificationUrl", "originalUrl"),
                    "/u/login?state=~token~&login_hint=~user_in_url~"),
    "path": lambda chance: chance.choice(("/oauth/token", "/authorize", "/me/v1/authentication-methods", "/api/v2/users")),
    "method": lambda chance: chance.choice(("POST", "GET")),
    **dict.fromkeys(("subject_token_type", "requested_token_type", "issued_token_type"),
                    "urn:ietf:params:oauth:token-type:access_token"),
    "grant_type": lambda chance: chance.choice(("authorization_code", "password", "refresh_token")),
    "confidence": lambda chance: chance.choice(("low", "medium", "high", "neutral")),
    **dict.fromkeys(("status", "statusCode"), lambda chance: chance.choice((200, 201, 204, 400, 403))),
    **dict.fromkeys(("message", "error", "errorMsg", "detail", "reason"), "~failure~"),
    "name": lambda chance: chance.choice(("prompt-authenticate", "login", "user-password")),
    "stack": "Error: the upstream did not answer\n    at onExecutePostLogin (/data/io/node22/action.js:14:9)\n" * 4,
    "ja3": lambda chance: f"{chance.getrandbits(128):032x}",
    "ja4": lambda chance: f"t13d1516h2_{chance.getrandbits(48):012x}_{chance.getrandbits(48):012x}",
    "organization_id": "org_9ZVw4hSxJ6KqTn1e",
    "organization_name": "acme",
    **dict.fromkeys(("mtls_thumbprint_sha256", "token_thumbprint"), lambda chance: f"{chance.getrandbits(256):064x}"),
    "executions": lambda chance: f"~token~{chance.getrandbits(40):010x}",
}  # fmt: skip
_OFTEN, _SELDOM = 0.85, 0.2
_RARE = {"agent_id", "external_agent_id", "client_ip", "organization_id", "organization_name", "upstream_userinfo_fetch"}
"""Of the fields that may be missing, those that mostly are."""
DEEPEST = 3
"""Down to which level an actor is given one of its own."""


class Values:
    """The values of one variant of a log type.

    :param chance: decides all that is not settled.
    :param complete: no field is missing that may be.
    """

    def __init__(self, chance: random.Random, *, complete: bool) -> None:
        self._chance, self._complete = chance, complete

    def fields(self, kinds: dict[str, Any]) -> dict[str, Any]:
        """An event's fields, of a shape as ``simulation.event_shapes`` has them."""
        return dict(self._fields("", kinds, 0))

    def _fields(self, around: str, kinds: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
        for key, kind in kinds.items():
            name = key.rstrip("?")
            # An actor may have an actor.
            if key == name or (self._is_there(name) and not (key == "act?" and depth > DEEPEST)):
                yield name, self._value(around, name, kind, depth + 1)

    def _is_there(self, name: str) -> bool:
        return self._complete or self._chance.random() < (_SELDOM if name in _RARE else _OFTEN)

    def _value(self, around: str, key: str, kind: Any, depth: int) -> Any:
        """A plausible value of a kind, for a field of that name."""
        if isinstance(kind, list) and kind[0] == "|":
            first, *others = kind[1:]
            return self._value(around, key, first if self._chance.random() < 0.7 else self._chance.choice(others), depth)
        if isinstance(kind, list):
            return [self._value(around, key, kind[0], depth) for _ in range(self._chance.randint(1, 2))]
        if isinstance(kind, dict) and "*" in kind:
            return {f"x-{word}": self._value(key, word, kind["*"], depth) for word in ("region", "device")}
        named = _VALUES.get((around, key), _VALUES.get(key))
        named = named(self._chance) if callable(named) else named
        if isinstance(kind, dict):
            return named if isinstance(named, dict) else dict(self._fields(key, kind, depth))
        if kind.startswith("="):
            return self._chance.choice(kind[1:].split())
        kinds = kind.split("|")
        kind = "null" if "null" in kinds and self._chance.random() < 0.1 else kinds[0]
        if kind.startswith("@"):
            return self._value(around, key, part(kind), depth)
        return named if named is not None and kind == _kind_of(named) else self._unnamed(key, kind)

    def _unnamed(self, key: str, kind: str) -> Any:
        """A value of a kind, for a field of which only the kind is known."""
        chance = self._chance
        values: dict[str, Callable[[], Any]] = {
            "string": lambda: f"{key}-{chance.getrandbits(32):08x}",
            "number": lambda: chance.randrange(5000),
            "boolean": lambda: chance.random() < 0.5,
            "null": lambda: None,
            "ip": lambda: "~ip~",
            "time": lambda: "~date~",
            "hex32": lambda: "~trace~",
            "token27": lambda: f"{chance.getrandbits(108):027x}",
            "cns22": lambda: f"cns_{chance.getrandbits(88):022x}",
            "object": lambda: {"id": f"{chance.getrandbits(64):016x}", "email": "~user~", "query": "q=~user_in_url~&per_page=5"},
            "any": lambda: {"session_id": "~session~", "reason": key},
        }
        return values[kind]()


def _kind_of(named: Any) -> str:
    if isinstance(named, dict):
        return "object"
    return "string" if isinstance(named, str) and not named.startswith("~#") else "number"
