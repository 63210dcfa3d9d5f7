"""Writes .env, airflow.env and connections.env for docker compose (``make env``). Needs only Python.

A new .env gets fresh keys. An existing one keeps its keys and settings and gets what it lacks; connections and settings of
Airflow in it, which earlier versions gave to every service, move to the file that the services with a use for them read.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FRESH: dict[str, Callable[[], str]] = {
    # 32 bytes in URL-safe base64, as cryptography's Fernet expects.
    "FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "JWT_SECRET": lambda: secrets.token_urlsafe(48),
    "API_SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "REDIS_PASSWORD": lambda: secrets.token_urlsafe(24),
    "ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
    "GRAFANA_PASSWORD": lambda: secrets.token_urlsafe(12),
}
"""Generates each key that .env.example leaves empty and the stack needs."""
FORMER = {
    "FERNET_KEY": "the database is encrypted with it",
    "POSTGRES_PASSWORD": "the database knows no other",
    "ADMIN_PASSWORD": "the first user was made with it; if that user exists, any text will do",
}
"""Key -> why a stack that has run before needs the former value. A fresh value replaces any other key."""
NAME = "COMPOSE_PROJECT_NAME"
OF_COMPOSE = ("COMPOSE_", "DOCKER_", "BUILDKIT_")
"""Prefixes of what docker compose itself reads from .env."""
OF_AIRFLOW = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_")
OF_CONNECTIONS = ("AIRFLOW_CONN_", "AIRFLOW__SECRETS__", "AIRFLOW__WORKERS__SECRETS_")
"""Prefixes of what only Airflow reads, and of what defines connections or says where they are stored."""
FALSE_NOW = (
    "# --- Connections and anything else of Airflow",
    "# Every line of this file is in the environment of all parts of Airflow",
    "# Where docker-compose.yaml sets the same name under `environment`",
    "# Those set here do not show in the UI.",
)
"""Prefixes of the comments with which .env.example introduced connections when each service read all of .env."""
ENTRY = re.compile(
    r"(?P<comment>#[ \t]*(?=AIRFLOW_(?:_|CONN_|VAR_)))?(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*="
    r"[ \t]*(?P<value>'[^']*'|\"(?:\\.|[^\"\\])*\"|[^\n]*)[^\n]*(?:\n|\Z)"
)
"""A setting in an env file, or one of Airflow's that is commented out; a quoted value may have several lines."""


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


def pieces(text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """An env file piece by piece: each setting with its match of :data:`ENTRY`, any other line with None."""
    at = 0
    while at < len(text):
        entry = ENTRY.match(text, at)
        end = entry.end() if entry else text.find("\n", at) + 1 or len(text)
        yield text[at:end], entry
        at = end


def settings(text: str) -> dict[str, str]:
    """Name -> value, without quotes, of the settings of an env file."""
    return {entry["name"]: entry["value"].strip().strip("'\"") for _, entry in pieces(text) if entry and not entry["comment"]}


class Upgrade:
    """What becomes of an existing .env. Each change adds a sentence to ``said``.

    :param text: the existing .env.
    :param files: the texts of airflow.env and connections.env, by name; settings from .env are added to them.
    :param known: the settings that docker-compose.yaml reads from .env.
    :param first: whether .env was the only file until now.
    """

    def __init__(self, text: str, files: dict[str, str], known: set[str], *, first: bool) -> None:
        self.files, self.first, self.said = files, first, list[str]()
        self.env = ""
        for piece, entry in pieces(text):
            if not entry or entry["name"] in known or entry["name"].startswith(OF_COMPOSE):
                self.env += "" if piece.startswith(FALSE_NOW) else piece
            elif not self._moved(piece, entry):
                self.env += piece

    def _moved(self, piece: str, entry: re.Match[str]) -> bool:
        """Put a setting into the file of the services that use it; False if it stays in .env as well."""
        name = entry["name"]
        file = "connections.env" if name.startswith(OF_CONNECTIONS) else "airflow.env"
        if entry["comment"]:
            if piece not in self.files[file]:
                self.files[file] += piece
            return True
        there = settings(self.files[file])
        if not name.startswith(OF_AIRFLOW):
            # A file of the user's own, such as docker-compose.override.yaml, may read it from .env.
            if self.first and name not in there:
                self.files[file] += piece
                self.said.append(f"{name} was copied to {file}, from which every part of Airflow reads it")
            return False
        if name not in there:
            self.files[file] += piece
            self.said.append(f"{name} was moved to {file}")
        elif settings(piece)[name] != there[name]:
            self.said.append(f"{name} is in {file} with another value, which is the one that counts: remove it from .env")
            return False
        return True

    def complete(self, name: str) -> list[str]:
        """Add what .env lacks, the stack's name among it; returns the keys of :data:`FORMER` that it lacks."""
        values = settings(self.env)
        if not values.get(NAME):
            self._set(NAME, name)
            self.said.append(
                f"{NAME}={name} was added, the name that this stack has from its folder, or from {NAME} in your shell. "
                "If you start it with --project-name, write that name instead before you start it again: "
                "`docker volume ls` shows it before _postgres"
            )
        for key in (key for key in FRESH if key not in FORMER and not values.get(key)):
            self._set(key, FRESH[key]())
            self.said.append(f"{key} was added, with a fresh value")
        return [key for key in FORMER if not values.get(key)]

    def _set(self, key: str, value: str) -> None:
        lines = self.env.splitlines(keepends=True)
        self.env = "".join(line for line in lines if not re.match(rf"(export[ \t]+)?{key}[ \t]*=", line)) + f"{key}={value}\n"


def write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def read(path: Path) -> str:
    """The text of a file, with an end of line after its last line; empty if there is no such file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text + "\n" if text and not text.endswith("\n") else text


def main(folder: Path = PROJECT) -> int:
    """Write what ``folder``'s three files lack; change no key or setting that is in them. Returns the exit code."""
    path, example = folder / ".env", read(folder / ".env.example")
    own = {name: folder / name for name in ("airflow.env", "connections.env")}
    before = {name: read(file) if file.exists() else None for name, file in own.items()}
    files = {name: read(folder / f"{name}.example") if text is None else text for name, text in before.items()}
    said, lost = list[str](), list[str]()
    if path.exists():
        upgrade = Upgrade(read(path), files, set(settings(example)), first=before["airflow.env"] is None)
        lost = upgrade.complete(project_name(folder))
        text, said = upgrade.env, upgrade.said
        print(f"{path} already exists. Its keys and settings were not changed: the keys are needed to read the database.")
    else:
        text = fill_in(example, {NAME: project_name(folder)} | {key: make() for key, make in FRESH.items()})
        print(f"Wrote {path} with fresh keys and the login of the UI (ADMIN_USER, ADMIN_PASSWORD). Keep a copy in a safe place.")
    # .env comes last: if this is interrupted, the next try finds in it everything that has to move.
    for name, file in own.items():
        if files[name] != before[name]:
            write(file, files[name])
            print(f"Wrote {file}.")
    if text != read(path):
        write(path, text)
    for sentence in said:
        print(f"- {sentence}.")
    for key in lost:
        print(f"{key} is missing in {path}. Write its former value there, from your copy: {FORMER[key]}.", file=sys.stderr)
    if lost:
        print("If this stack has never run, remove .env instead and run `make env` again.", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
