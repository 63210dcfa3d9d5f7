"""``api_endpoints``: events of calls to the Management API, chosen by the endpoint that was called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

API_TYPES = ("sapi", "fapi", "mgmt_api_read")
"""The log types of calls to the Management API: those that changed something, the refused, and those that read secrets.

Source: auth0/auth0-log-schemas, July 2026; ``fapi`` is no longer listed there, and tenants still write it.
"""

_PREFIX = "/api/v2/"


def parse_endpoint(text: str) -> str:
    """An endpoint such as ``users`` or ``users/{id}/roles`` without the slashes and the ``/api/v2/`` around it.

    Endpoints are lower-case; what follows the first slash can be an id, in which case counts.

    :raises ValueError: when it is no path below /api/v2/.
    """
    first, slash, rest = re.sub(r"^/?api/v2(/|$)", "", text.strip(), flags=re.IGNORECASE).strip("/").partition("/")
    name = f"{first.lower()}{slash}{rest}"
    if not re.fullmatch(r"(?!(api|v[0-9])(/|$))[A-Za-z0-9_.%|:@-]+(/[A-Za-z0-9_.%|:@-]+)*", name):
        raise ValueError(f"{text!r} is no endpoint of the Management API: expected what follows /api/v2/, such as users")
    return name


class ApiEndpoints:
    """The endpoints that a route wants."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiEndpoints) and self._names == other._names

    def __hash__(self) -> int:
        return hash(self._names)

    def fits(self, body: str) -> bool | None:
        """Whether an event's ``details.request.path`` is one of the endpoints or below; None if the event cannot be parsed."""
        try:
            found = json.loads(body, parse_int=str)
        except (ValueError, RecursionError):
            return None
        for key in ("details", "request", "path"):
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, str) or not found.startswith(_PREFIX):
            return False
        path = found.removeprefix(_PREFIX).partition("?")[0].rstrip("/")
        return any(path == name or path.startswith(f"{name}/") for name in self._names)
