"""Writes .env from .env.example, with fresh keys for the empty ones (``make env``). Needs only Python."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FRESH: dict[str, Callable[[], str]] = {
    # 32 bytes in URL-safe base64, as cryptography's Fernet expects.
    "FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "JWT_SECRET": lambda: secrets.token_urlsafe(48),
    "API_SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
}
"""Generates each key that .env.example leaves empty and the stack needs."""


def fill_in(example: str) -> str:
    """The text of a new .env: the example's lines, each key of :data:`FRESH` with a fresh value.

    :raises KeyError: when the example lacks one of them.
    """
    lines = example.splitlines()
    for key, make in FRESH.items():
        if f"{key}=" not in lines:
            raise KeyError(f"the line {key}= is missing in .env.example")
        lines[lines.index(f"{key}=")] = f"{key}={make()}"
    return "\n".join(lines) + "\n"


def main(folder: Path = PROJECT) -> int:
    """Write ``folder``/.env, readable by its owner only; never change an existing one. Returns the exit code."""
    path = folder / ".env"
    text = fill_in((folder / ".env.example").read_text(encoding="utf-8"))
    try:
        # Never overwrite it: its Fernet key is the only way to read the encrypted data in the database.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} already exists and was not changed: its keys are needed to read the database.", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    print(
        f"Wrote {path} with fresh keys; the login of the UI is in it (ADMIN_USER, ADMIN_PASSWORD). Keep a copy in a safe place."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
