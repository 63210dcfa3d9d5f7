"""The YAML file of the routes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from auth0_webhooks.errors import SeveralMistakesError
from auth0_webhooks.filtering.event_fields import unknown_field_warnings
from auth0_webhooks.filtering.log_types import unknown_type_warning
from auth0_webhooks.settings.route import Route, describe
from auth0_webhooks.settings.source import Entry, Problem, Source, SourceError, is_settings, line_in
from auth0_webhooks.settings.values import parse_types
from auth0_webhooks.wording import did_you_mean, shortened

_ROUTES_EXPECTED = "expected the key 'routes' with one entry per route, such as 'auth0_log_webhooks:'"
_SETTINGS_EXPECTED = "expected settings as 'key: value' lines"
_NAME = "key 'name': expected no such key, because a route's name is its key in 'routes'"


class Mistake(NamedTuple):
    """Something wrong in a route file; as text it is one line that names file, line, route and key, and what was expected.

    ``line`` is None for what concerns the whole file; ``place`` is a route, ``defaults`` or empty.
    """

    file: str
    line: int | None
    place: str
    problem: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (place_of(self.file, self.line), self.place, self.problem)))


def place_of(file: str, line: int | None) -> str:
    """A place in a file as editors and terminals make a link of it: ``file:line``."""
    return file if line is None else f"{file}:{line}"


class RoutesFile(NamedTuple):
    """What is in a route file: its valid routes, the line of each route by its name if it has one, and what is wrong, by line.

    ``notes`` are about what may be a mistake: log types that are not in the table.
    """

    routes: list[Route]
    lines: dict[str, int | None]
    mistakes: list[Mistake]
    notes: list[Mistake]


class _Settings(NamedTuple):
    """The settings of one mapping. ``wrong`` are the keys that it sets and that cannot be used."""

    values: dict[str, Any]
    entries: dict[str, Entry]
    wrong: set[str]


def beside(path: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """A path that, where it is relative, counts from the folder of a file, usually the DAG file that names it."""
    return Path(file).parent / path


def load_routes(path: str | os.PathLike[str]) -> tuple[list[Route], list[str]]:
    """Read a route file: ``routes`` has one entry per route; ``defaults`` has settings for routes that do not set them.

    :param path: the route file, YAML in UTF-8.
    :returns: the valid routes, and for each mistake one sentence that names file, line, route and key. A broken route does not
        affect the valid ones.
    """
    path = Path(path)
    read = read_routes(path, path.name)
    return read.routes, [str(mistake) for mistake in read.mistakes]


def read_routes(path: Path, name: str, only: str | None = None) -> RoutesFile:
    """Read a route file, as :func:`load_routes`.

    :param name: what the mistakes call the file.
    :param only: the route to read, with its mistakes and those of the defaults; None reads all.
    """
    try:
        return _Reader(Source(path), name, only).read()
    except SourceError as error:
        return RoutesFile([], {}, [Mistake(name, error.line, "", str(error))], [])


class _Reader:
    def __init__(self, source: Source, name: str, only: str | None) -> None:
        self._source, self._name, self._only = source, name, only
        self._mistakes: dict[Mistake, None] = {}  # as a set in order: two routes can share what is wrong, by an alias
        self._notes: dict[Mistake, None] = {}
        self._routes: list[Route] = []
        self._lines: dict[str, int | None] = {}

    def read(self) -> RoutesFile:
        root = self._source.root
        if root is None:
            raise SourceError(f"the file is empty: {_ROUTES_EXPECTED}")
        entries, problems = self._source.entries(root)
        self._note("", problems)
        for entry in entries:
            if entry.key not in {"routes", "defaults"}:
                meant = did_you_mean(entry.key, ("routes", "defaults"))
                self._add(entry.line, "", f"unknown key {shortened(entry.key)}{meant}: expected 'routes' or 'defaults'")
        top, twice = {entry.key: entry for entry in entries}, {problem.key for problem in problems}
        defaults = self._defaults(top.get("defaults"))
        routes = [entry for entry in entries if entry.key == "routes"]
        for entry in routes:
            if isinstance(entry.node, yaml.MappingNode):
                self._read_routes(entry, None if twice & {"defaults", "routes"} else defaults)
            else:
                self._add(entry.line, "", _ROUTES_EXPECTED)
        if not routes:
            self._add(None, "", _ROUTES_EXPECTED)
        mistakes, notes = (sorted(found, key=lambda one: one.line or 0) for found in (self._mistakes, self._notes))
        return RoutesFile(self._routes, self._lines, mistakes, notes)

    def _read_routes(self, routes: Entry, defaults: _Settings | None) -> None:
        entries, problems = self._source.entries(routes.node)
        self._note("routes", problems)
        twice = {problem.key for problem in problems}
        for entry in entries:
            self._lines[entry.key] = entry.line
            if self._only not in {None, entry.key}:
                continue
            place, before = f"route {shortened(entry.key)}", len(self._mistakes)
            if not is_settings(entry.node):
                self._add(entry.line, place, _SETTINGS_EXPECTED)
                continue
            own = self._settings(entry, place)
            route = self._route(entry, own, defaults or _NOTHING)
            unsure = own.wrong or defaults is None or defaults.wrong - own.entries.keys()
            if route and not unsure and entry.key not in twice and len(self._mistakes) == before:
                self._routes.append(route)

    def _defaults(self, entry: Entry | None) -> _Settings | None:
        """The defaults, validated once for all routes; None if nobody can say what they are."""
        if entry is None:
            return _NOTHING
        if not is_settings(entry.node):
            self._add(entry.line, "defaults", _SETTINGS_EXPECTED)
            return None
        settings = self._settings(entry, "defaults")
        try:
            # A rule that compares two settings is for the routes, which may set one of them: here the other is out of its way.
            Route(**{"name": "defaults", "webhook_conn_id": "a route's own", **settings.values})
        except ValidationError as error:
            for detail in error.errors():
                self._describe(detail, "defaults", settings, entry.line)
                settings.wrong.add(str(detail["loc"][0]))
        return settings

    def _settings(self, entry: Entry, place: str) -> _Settings:
        entries, problems = self._source.entries(entry.node)
        self._note(place, problems)
        settings = _Settings({}, {setting.key: setting for setting in entries}, {problem.key for problem in problems})
        for key, setting in settings.entries.items():
            value, problems = self._source.value(setting)
            self._note(f"{place}: key {shortened(key)}", problems)
            if key == "name":
                self._add(setting.line, place, _NAME)
            if problems or key == "name":
                settings.wrong.add(key)
            elif key not in settings.wrong:
                settings.values[key] = value
                self._note_types(setting, value, place)
        return settings

    def _route(self, entry: Entry, own: _Settings, defaults: _Settings) -> Route | None:
        inherited = {key: value for key, value in defaults.values.items() if key not in defaults.wrong | own.wrong}
        try:
            return Route(name=entry.key, **{**inherited, **own.values})
        except ValidationError as error:
            for detail in error.errors():
                key = detail["loc"][0]
                settings = defaults if key in inherited.keys() - own.values.keys() else own
                self._describe(detail, f"route {shortened(entry.key)}", settings, entry.line)
            return None

    def _describe(self, detail: Any, place: str, settings: _Settings, line: int) -> None:
        """Note one of pydantic's errors, or each of the several that it stands for, on the line of the key or item."""
        entry = settings.entries.get(str(detail["loc"][0]))
        error = detail.get("ctx", {}).get("error")
        if entry and isinstance(error, SeveralMistakesError):
            for item, problem in error.by_item.items():
                self._add(line_in(entry.node, item) or entry.line, place, f"key {entry.key!r}: {problem}")
        else:
            self._add(entry.line if entry else line, place, describe(detail))

    def _note_types(self, setting: Entry, value: Any, place: str) -> None:
        """Note the log types and fields that are not in the tables: they may be new, or misspelled."""
        with contextlib.suppress(ValueError):
            for code in parse_types(value) if setting.key in {"log_types", "exclude_types"} else ():
                if warning := unknown_type_warning(code):
                    line = line_in(setting.node, code) or setting.line
                    self._notes[Mistake(self._name, line, place, f"key {setting.key!r}: note: {warning}")] = None
            if setting.key in {"where", "body"} and isinstance(value, str):
                for warning in unknown_field_warnings(value):
                    self._notes[Mistake(self._name, setting.line, place, f"key {setting.key!r}: note: {warning}")] = None

    def _note(self, place: str, problems: list[Problem]) -> None:
        for problem in problems:
            self._add(problem.line, place, problem.text)

    def _add(self, line: int | None, place: str, problem: str) -> None:
        self._mistakes[Mistake(self._name, line, place, problem)] = None


_NOTHING = _Settings({}, {}, set())
