"""``check``, ``show`` and ``schema``. They import Airflow only for DAG files in Python, and for ``check --connections``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from auth0_webhooks.cli.words import sentences
from auth0_webhooks.settings.routes_file import Mistake, RoutesFile, place_of, read_routes
from auth0_webhooks.settings.schema import as_text
from auth0_webhooks.wording import counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    :param arguments: those of the command line, unless given.
    :returns: the exit status: 1 if there is a mistake, else 0. Wrong arguments end the process with 2.
    """
    parser = argparse.ArgumentParser(
        prog="python -m auth0_webhooks", description="Check and explain the route files of Auth0 log events to webhooks."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="name every mistake in route files; exit status 1 if there is one")
    check.add_argument(
        "--connections", action="store_true", help="also check that the routes' connections exist in Airflow and are complete"
    )
    check.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a route file, such as dags/webhook_routes.yaml, or a DAG file in Python with routes",
    )
    show = commands.add_parser("show", help="print what each route of route files does, in words")
    show.add_argument("files", nargs="+", metavar="FILE", help="a route file, or a DAG file in Python with routes")
    commands.add_parser("schema", help="print the JSON schema of a route file, for editors")
    options = parser.parse_args(arguments)
    if options.command == "schema":
        print(as_text(), end="")
        return 0
    if options.command == "show":
        return _show(options.files)
    return _check(options.files, connections=options.connections)


def _check(names: Sequence[str], *, connections: bool) -> int:
    files = _read(names)
    mistakes = [*(mistake for file in files.values() for mistake in file.mistakes), *_used_twice(files)]
    if connections:
        mistakes += _in_connections(files)
    notes = [note for file in files.values() for note in file.notes]
    for line in sorted([*mistakes, *notes], key=lambda one: (list(files).index(one.file), one.line or 0)):
        print(line)
    routes = sum(len(file.lines) for file in files.values())
    found = counted(len(mistakes), "mistake") if mistakes else "no mistakes"
    print(f"{counted(routes, 'route')} in {counted(len(files), 'file')}: {found}")
    return bool(mistakes)


def _in_connections(files: dict[str, RoutesFile]) -> list[Mistake]:
    from auth0_webhooks.cli.connections import database_problem, problems_of

    found = [
        Mistake(name, file.lines[route.name], place := f"route {route.name!r}", problem.removeprefix(f"{place}: "))
        for name, file in files.items()
        for route in file.routes
        for problem in problems_of(route)
    ]
    if found and (problem := database_problem()):
        print(problem)
    return found


def _show(names: Sequence[str]) -> int:
    now, status = datetime.now(timezone.utc), 0
    for name, file in _read(names).items():
        for route in file.routes:
            print(f"{route.name} ({place_of(name, file.lines[route.name])})")
            for sentence in sentences(route, now):
                print(f"  {sentence}")
            print()
        for line in (*file.mistakes, *file.notes):
            print(line, file=sys.stderr)
        status |= bool(file.mistakes)
    return status


def _read(names: Sequence[str]) -> dict[str, RoutesFile]:
    return {name: _read_file(name) for name in names}


def _read_file(name: str) -> RoutesFile:
    if not name.endswith(".py"):
        return read_routes(Path(name), name)
    from auth0_webhooks.cli.dag_files import read_dag_file

    return read_dag_file(Path(name), name)


def _used_twice(files: dict[str, RoutesFile]) -> list[Mistake]:
    """The names of routes that two files use: Airflow would show one of the two DAGs, now this and now that."""
    first: dict[str, str] = {}
    found = []
    for name, file in files.items():
        for route, line in file.lines.items():
            if route in first:
                other = place_of(first[route], files[first[route]].lines[route])
                problem = f"the same name is in {other}: expected another one, because the name is the id of the route's DAG"
                found.append(Mistake(name, line, f"route {route!r}", problem))
            first.setdefault(route, name)
    return found
