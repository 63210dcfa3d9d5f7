"""Stores a tenant's access token between runs, encrypted."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken

from auth0_webhooks.reading.rate_limit import Seen, parse_seen


class TokenStore(Protocol):
    """Stores a token between runs; both calls may fail silently, which costs one more token request."""

    def load(self) -> str | None:
        """The stored text, or None."""

    def save(self, text: str) -> None:
        """Store a text."""


class KeptToken:
    """A token in a store, encrypted whether or not Airflow has a Fernet key of its own, and the rate limit as last seen.

    Both in one text, with a space between them: the token is read anyway, so the rate limit costs nothing to read.

    The key is derived from ``identity``, the connection's fields: a token for another client, or from before the secret was
    rotated, can no longer be decrypted, so a new one is requested.
    """

    def __init__(self, store: TokenStore, identity: list[str]) -> None:
        self._store, self._seen = store, Seen()
        self._cipher = Fernet(base64.urlsafe_b64encode(hashlib.sha256("\n".join(identity).encode()).digest()))

    def load(self) -> str | None:
        """The token; None if none is stored or it has expired."""
        kept = self._decrypted(self._parts()[0])
        return kept[0] if kept and kept[1] > time.time() else None

    def save(self, token: str, life: float) -> None:
        """Store a token that is valid for ``life`` seconds."""
        # Renewed early: a token must not expire between two pages of the same run.
        good_until = time.time() + life - min(300.0, life / 10)
        self._store.save(self._cipher.encrypt(json.dumps([token, good_until]).encode()).decode())

    def seen(self, *, again: bool = False) -> Seen:
        """The rate limit beside the token; ``again`` reads the store again."""
        if again:
            self._parts()
        return self._seen

    def tell(self, seen: Seen) -> None:
        """Store the rate limit beside the token."""
        token = self._parts()[0]
        if self._decrypted(token):
            self._store.save(f"{token} {seen.dump()}")

    def _parts(self) -> tuple[str, str]:
        token, _, seen = (self._store.load() or "").partition(" ")
        # Beside the token of another tenant or client is another rate limit.
        self._seen = parse_seen(seen) if self._decrypted(token) else Seen()
        return token, seen

    def _decrypted(self, token: str) -> tuple[str, float] | None:
        """The token and the time until which it is good; None if this client did not store it."""
        try:
            kept, good_until = json.loads(self._cipher.decrypt(token))
            return str(kept), float(good_until)
        except (InvalidToken, ValueError, TypeError):
            return None
