"""Redaction: removes data from a route's events before anyone else sees them.

A value at a configured path is masked, dropped or replaced by a pseudonym. Redaction then searches for the same value in the
rest of the event, because Auth0 repeats a user's name or address in descriptions, requests and answers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from auth0_webhooks.errors import SeveralMistakesError
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.privacy.search import MASK, SHORT, Action, Found, ValueSearch
from auth0_webhooks.privacy.user_data import is_user_data, user_data_in
from auth0_webhooks.wording import did_you_mean, shortened

ACTIONS = ("mask", "drop", "pseudonym")

USER_DATA = "user_data"
PSEUDONYM = "psn_"
"""The prefix of a pseudonym; 32 hexadecimal digits follow."""
_A_PSEUDONYM = re.compile(PSEUDONYM + "[0-9a-f]{32}")
KEPT = frozenset({"log_id", "_id", "type", "date"})
"""Top-level keys that are never changed: receivers identify events and repeats by them."""
WORD = 8
"""A word up to this length, somewhere in a profile or in metadata, is searched for only as a whole word."""
DEEPEST = 50
"""The depth to which an event is examined; everything deeper is masked as a whole."""
MIN_KEY = 32

_ANY, _ANY_DEPTH = "*", "**"
_part = re.compile(r'"([^"]+)"|([^."]+)')


class _Number(str):
    """A number in its original notation: Python would round some, and refuse others."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """An object's members in order, including repeated keys."""


class _Place(NamedTuple):
    """A place in the event: the rules that can still match (rule, part), the action that applies here, and its key.

    ``whole``: the preset redacts an enclosing object as a whole, and this key alone would not identify user data.
    """

    states: frozenset[tuple[int, int]]
    action: Action | None = None
    key: str = ""
    depth: int = 0
    whole: bool = False


def parse_path(path: str) -> tuple[str, ...]:
    """Split ``details.request."a.b".*`` into its parts; ``*`` matches any key, ``**`` any number of levels.

    :raises ValueError: naming the character where the syntax is wrong.
    """
    parts, at = [], 0
    while True:
        match = _part.match(path, at)
        if not match:
            raise ValueError(f"path {path!r}: expected a key at character {at + 1}")
        parts.append(match[1] or match[2])
        at = match.end()
        if at == len(path):
            break
        if path[at] != ".":
            raise ValueError(f"path {path!r}: expected a dot at character {at + 1}")
        at += 1
    if parts[-1] == _ANY_DEPTH:
        raise ValueError(f"path {path!r}: expected a key after '**'")
    if len(parts) == 1 and parts[0] in KEPT:
        raise ValueError(f"path {path!r}: {', '.join(sorted(KEPT))} cannot be redacted, because receivers detect repeats by them")
    return tuple(parts)


def parse_rules(value: Any) -> dict[str, Action]:
    """Parse a route's ``redact``.

    :raises ValueError: naming each wrong path, and what was expected.
    """
    if not isinstance(value, dict):
        raise ValueError("expected 'path: action' lines, such as 'user_data: mask'")  # noqa: TRY004 - pydantic reports only ValueError
    wrong = {path: problem for path, action in value.items() if (problem := _problem(path, action))}
    if wrong:
        raise SeveralMistakesError(wrong)
    return value


def _problem(path: Any, action: Any) -> str | None:
    if not isinstance(path, str):
        return f"path {path!r}: expected a text"
    if action not in ACTIONS:
        meant = did_you_mean(action, ACTIONS) if isinstance(action, str) else ""
        return f"path {path!r}: expected one of {', '.join(ACTIONS)}{meant}, got {shortened(action)}"
    try:
        parse_path(path)
    except ValueError as error:
        return str(error)
    return None


class Redaction:
    """The rules of one route.

    :param rules: the action for each path, or for the preset ``user_data``. A path overrides the preset, and the first
        matching path overrides later ones.
    :param key: for pseudonyms, at least 32 bytes: the same value and key give the same pseudonym, and without the key nobody
        can find the value by trying.

    ``work`` counts characters read and comparisons made; it grows linearly with the size of the events.
    """

    def __init__(self, rules: Mapping[str, Action], key: bytes = b"") -> None:
        self._preset = rules.get(USER_DATA)
        paths = [path for path in rules if path != USER_DATA]
        self._paths = [(parse_path(path), rules[path]) for path in paths]
        self._key = key
        self.work = 0

    def batch(self, batch: Batch) -> Batch:
        """A batch with its events redacted."""
        return Batch(batch.start, batch.end, [event._replace(body=self.body(event)) for event in batch.events])

    def body(self, event: LogEvent) -> str:
        """The event's JSON, redacted; keys, their order and all other values stay the same."""
        try:
            return self._redacted(event.body)
        except RecursionError:
            kept = {"log_id": event.log_id, "date": event.date, "type": event.type}
            return json.dumps({**kept, "description": f"{MASK} nested too deeply to be redacted"})

    def _redacted(self, body: str) -> str:
        read = json.loads(body, parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=_Object)
        top = _Place(self._closed(frozenset((rule, 0) for rule in range(len(self._paths)))))
        found = Found()
        self._collect(read, top, found)
        redacted = _dump(self._rebuilt(read, top, ValueSearch(found, self._replaced, strict=bool(self._preset))))
        self.work += found.work
        return redacted

    def _closed(self, states: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        """Add the states that are reached without a step: ``**`` also matches zero levels."""
        more = {(rule, part + 1) for rule, part in states if self._paths[rule][0][part : part + 1] == (_ANY_DEPTH,)}
        return states if more <= states else self._closed(states | more)

    def _below(self, place: _Place, key: str, inside: Any) -> _Place:
        """The place below a key, whose value is ``inside``."""
        if place.action or _is_kept(place, key, inside):
            whole = place.whole and not is_user_data(key, place.key)
            return _Place(frozenset(), place.action, key, place.depth + 1, whole)
        states, action = self._step(place.states, key) if place.states else (place.states, None)
        whole = False
        if not action and self._preset:
            holds_objects = isinstance(inside, list) and _holds_objects(inside)
            if is_user_data(key, place.key, holds_objects=holds_objects):
                action, whole = self._preset, holds_objects
        return _Place(states, action, key, place.depth + 1, whole)

    def _step(self, states: frozenset[tuple[int, int]], key: str) -> tuple[frozenset[tuple[int, int]], Action | None]:
        """The rules that can still match below a key, and the action of the first path that ends there."""
        ahead = set()
        for rule, part in states:
            wanted = self._paths[rule][0][part]
            if wanted == _ANY_DEPTH:
                ahead.add((rule, part))
            elif wanted in (_ANY, key):
                ahead.add((rule, part + 1))
        reached = self._closed(frozenset(ahead))
        fitting = [rule for rule, part in reached if part == len(self._paths[rule][0])]
        going_on = frozenset((rule, part) for rule, part in reached if part < len(self._paths[rule][0]))
        return going_on, self._paths[min(fitting)][1] if fitting else None

    def _children(self, value: Any, place: _Place) -> Iterator[tuple[str | None, Any, _Place]]:
        if isinstance(value, _Object):
            for key, inside in value:
                yield key, inside, self._below(place, key, inside)
        elif isinstance(value, list):
            # Lists are transparent: what applies to a list applies to each of its elements.
            for inside in value:
                yield None, inside, place._replace(depth=place.depth + 1)

    def _collect(self, value: Any, place: _Place, found: Found) -> None:
        """Find the values to be redacted, each with its action."""
        if isinstance(value, str):
            if not place.action:
                if self._preset and not isinstance(value, _Number):
                    self._note_all(value, self._preset, found)
            elif not isinstance(value, _Number) or len(value) >= SHORT:
                # In a profile or a form, not every word identifies the user.
                found.note(str(value), place.action, placed=True, word=place.whole and len(value) <= WORD and value.isalpha())
            return
        for key, inside, below in self._children(value, place):
            if self._preset and key and not key.isidentifier():
                self._note_all(key, self._preset, found)
            if not _is_kept(place, key, inside):
                self._collect(inside, below, found)

    @staticmethod
    def _note_all(text: str, action: Action, found: Found) -> None:
        """Find the values that can be recognized by their form."""
        found.work += len(text)
        for value in user_data_in(text, found.read(text)) if not found.too_many else ():
            found.note(value, action)

    def _rebuilt(self, value: Any, place: _Place, search: ValueSearch) -> Any:
        if place.depth > DEEPEST or value is None:
            return MASK if place.depth > DEEPEST else None
        if isinstance(value, str) and not place.action:
            return search.in_text(value)
        if place.action and (isinstance(value, _Object) or not isinstance(value, list)):
            # The object as a whole: its keys can reveal as much as its values.
            text = value if isinstance(value, str) else "" if place.action != "pseudonym" else _dump(value)
            return self._replaced(text, place.action)
        if isinstance(value, _Object):
            made, taken = _Object(), Counter[str]()
            for key, inside, below in self._children(value, place):
                name = cast("str", key)
                if _is_kept(place, name, inside):
                    made.append((name, inside))
                elif below.action != "drop":
                    # Top-level keys are all Auth0's; deeper ones can be a user's (in a profile or a form).
                    shown = name if place.depth == 0 else search.in_text(name)
                    if shown != name:
                        taken[shown] += 1
                        shown += f" {taken[shown]}" if taken[shown] > 1 else ""
                    made.append((shown, self._rebuilt(inside, below, search)))
            return made
        if not isinstance(value, list):
            return value
        return [self._rebuilt(inside, below, search) for _, inside, below in self._children(value, place)]

    def _replaced(self, text: str, action: Action) -> str:
        if action != "pseudonym":
            return MASK
        if _A_PSEUDONYM.fullmatch(text):
            return text  # a dead letter that is redacted again, by other rules, keeps its pseudonyms
        # In one case, so that different spellings of an address give the same pseudonym.
        data = text.casefold().encode("utf-8", "surrogatepass")
        return PSEUDONYM + hmac.new(self._key, data, hashlib.sha256).hexdigest()[:32]


def _holds_objects(value: Any) -> bool:
    return isinstance(value, _Object) or (isinstance(value, list) and any(map(_holds_objects, value)))


def _is_kept(place: _Place, key: str | None, inside: Any) -> bool:
    """Whether a top-level value is one by which receivers identify the event."""
    return place.depth == 0 and key in KEPT and not isinstance(inside, list)


_encoded = json.JSONEncoder().encode


def _dump(value: Any) -> str:
    pieces: list[str] = []
    _write(value, pieces.append)
    return "".join(pieces)


def _write(value: Any, write: Callable[[str], None]) -> None:
    if isinstance(value, list):
        pairs = isinstance(value, _Object)
        write("{" if pairs else "[")
        for number, inside in enumerate(value):
            if number:
                write(", ")
            if pairs:
                write(f"{_encoded(inside[0])}: ")
            _write(inside[1] if pairs else inside, write)
        write("}" if pairs else "]")
    else:
        write(str(value) if isinstance(value, _Number) else _encoded(value))


def redaction_mark(rules: Mapping[str, Action]) -> str:
    """A short digest of the rules, which records how a stored event was redacted; empty without rules."""
    return hashlib.sha256(json.dumps([*rules.items()]).encode()).hexdigest()[:12] if rules else ""
