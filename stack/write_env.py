"""Writes .env from .env.example, with fresh keys for the empty ones (``make env``). Needs only Python.

An existing .env keeps every value. It gets the name that docker compose has given its stack, if it has none.
"""

from __future__ import annotations

import base64
import os
import re
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
NAME = "COMPOSE_PROJECT_NAME"


def project_name(folder: Path) -> str:
    """The name that docker compose gives a stack without one: the shell's, or the folder's, reduced to ``a-z0-9_-``."""
    name = re.sub(r"[^a-z0-9_-]", "", folder.resolve().name.lower()).lstrip("_-")
    return os.environ.get(NAME) or name or "auth0-log-webhooks"


def fill_in(example: str, values: dict[str, str]) -> str:
    """The text of a new .env: the example's lines, with these values for the settings that it leaves empty.

    :raises KeyError: when the example lacks one of them.
    """
    lines = example.splitlines()
    for key, value in values.items():
        if f"{key}=" not in lines:
            raise KeyError(f"the line {key}= is missing in .env.example")
        lines[lines.index(f"{key}=")] = f"{key}={value}"
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def main(folder: Path = PROJECT) -> int:
    """Write ``folder``/.env, or add its name if it lacks one; never change a value. Returns the exit code."""
    path = folder / ".env"
    if not path.exists():
        example = (folder / ".env.example").read_text(encoding="utf-8")
        write(path, fill_in(example, {NAME: project_name(folder)} | {key: make() for key, make in FRESH.items()}))
        print(f"Wrote {path} with fresh keys and the login of the UI (ADMIN_USER, ADMIN_PASSWORD). Keep a copy in a safe place.")
        return 0
    text = path.read_text(encoding="utf-8")
    print(f"{path} already exists. No value was changed: its keys are needed to read the database.")
    if not re.search(rf"(?m)^{NAME}=.", text):
        name = project_name(folder)
        write(path, re.sub(rf"(?m)^{NAME}=\n", "", text.rstrip("\n") + "\n") + f"{NAME}={name}\n")
        print(
            f"{NAME}={name} was added, the name that this stack has from its folder, or from {NAME} in your shell. "
            "If you start it with --project-name, write that name instead before you start it again: "
            "`docker volume ls` shows it before _postgres."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
