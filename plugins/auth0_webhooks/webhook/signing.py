"""Signatures as Standard Webhooks 1.0.0 defines them (https://www.standardwebhooks.com), made by its official library."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from auth0_webhooks.connections.fields import SIGNING_PREFIX

_MIN_BYTES, _MAX_BYTES = 24, 64


class Signer:
    """Signs with every secret, newest first, so receivers can switch from the old to the new one at any time.

    :param secrets: each is ``whsec_`` and the base64 of 24 to 64 random bytes.
    :raises ValueError: when one is not; the message does not contain the secret.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        for number, secret in enumerate(secrets, 1):
            try:
                size = len(base64.b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True))
            except (binascii.Error, AttributeError, ValueError):
                size = 0
            if not str(secret).startswith(SIGNING_PREFIX) or not _MIN_BYTES <= size <= _MAX_BYTES:
                raise ValueError(
                    f"secret {number} of {len(secrets)} is not {SIGNING_PREFIX!r} and the base64 of {_MIN_BYTES} to {_MAX_BYTES} "
                    "bytes"
                )
        self._keys = [Webhook(secret) for secret in secrets]

    def header(self, message_id: str, moment: datetime, body: str) -> str:
        """The value of ``webhook-signature`` for one try: one signature per secret, separated by spaces."""
        return " ".join(key.sign(msg_id=message_id, timestamp=moment, data=body) for key in self._keys)
