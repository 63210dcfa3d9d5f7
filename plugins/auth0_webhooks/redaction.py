"""Redaction: what a route takes out of its events before anyone else sees them.

What stands at a configured place is masked, dropped or replaced by a pseudonym. The same value is then searched for in the rest
of the event, because Auth0 repeats a user's name or address in descriptions, requests and answers.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

from auth0_webhooks.batch import Batch
from auth0_webhooks.events import LogEvent
from auth0_webhooks.user_data import is_user_data, user_data_in

Action = Literal["mask", "drop", "pseudonym"]
ACTIONS = ("mask", "drop", "pseudonym")

USER_DATA = "user_data"
MASK = "***"
PSEUDONYM = "psn_"
"""What a pseudonym begins with; 32 hexadecimal digits follow."""
_A_PSEUDONYM = re.compile(PSEUDONYM + "[0-9a-f]{32}")
KEPT = frozenset({"log_id", "_id", "type", "date"})
"""Keys at an event's top that are never changed: receivers know events and repeats by them."""
SHORT = 4
"""A text of fewer characters is searched for as a word only; a number of fewer digits not at all."""
DEEPEST = 50
"""Levels of an event that are looked at; what lies deeper is masked as a whole."""
MIN_KEY = 32

_ANY, _ANY_DEPTH = "*", "**"
_part = re.compile(r'"([^"]+)"|([^."]+)')


class _Number(str):
    """A number as it was written: Python would round some, and refuse others."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """An object's members in their order, with keys that come twice."""


class _Place(NamedTuple):
    """A place on the way down: what rules can still fit (rule, part), what action holds here, the key it lies under."""

    states: frozenset[tuple[int, int]]
    action: Action | None = None
    key: str = ""
    depth: int = 0


def parse_path(path: str) -> tuple[str, ...]:
    """Cut ``details.request."a.b".*`` into its parts; ``*`` fits any key, ``**`` any number of levels.

    :raises ValueError: naming the character at which it goes wrong.
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
        raise ValueError(f"path {path!r}: {', '.join(sorted(KEPT))} stay as they are, receivers know repeats by them")
    return tuple(parts)


def parse_rules(value: Any) -> dict[str, Action]:
    """Check a route's ``redact``.

    :raises ValueError: naming the path that is wrong, and what was expected.
    """
    if not isinstance(value, dict):
        raise ValueError("expected 'path: action' lines, such as 'user_data: mask'")  # noqa: TRY004 - pydantic reports only ValueError
    for path, action in value.items():
        if not isinstance(path, str):
            raise ValueError(f"path {path!r}: expected a text")  # noqa: TRY004
        if action not in ACTIONS:
            raise ValueError(f"path {path!r}: expected one of {', '.join(ACTIONS)}")
        parse_path(path)
    return value


class Redaction:
    """The rules of one route.

    :param rules: by path, or by the preset ``user_data``, what happens there. A path counts more than the preset, and the first
        path that fits more than those after it.
    :param key: of the pseudonyms, at least 32 bytes: the same value with the same key has the same pseudonym, and without
        the key nobody can find out the value by trying.
    """

    def __init__(self, rules: Mapping[str, Action], key: bytes = b"") -> None:
        self._preset = rules.get(USER_DATA)
        paths = [path for path in rules if path != USER_DATA]
        self._paths = [(parse_path(path), rules[path]) for path in paths]
        self._key = key

    def batch(self, batch: Batch) -> Batch:
        """A batch with its events redacted."""
        return Batch(batch.start, batch.end, [event._replace(body=self.body(event)) for event in batch.events])

    def body(self, event: LogEvent) -> str:
        """The event's JSON, redacted; keys, their order and other values stay."""
        try:
            return self._redacted(event.body)
        except RecursionError:
            kept = {"log_id": event.log_id, "date": event.date, "type": event.type}
            return json.dumps({**kept, "description": f"{MASK} nested too deeply to be redacted"})

    def _redacted(self, body: str) -> str:
        read = json.loads(body, parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=_Object)
        top = _Place(self._closed(frozenset((rule, 0) for rule in range(len(self._paths)))))
        found: dict[str, Action] = {}
        self._collect(read, top, found)
        return _dump(self._rebuilt(read, top, _Search(found, self._replaced)))

    def _closed(self, states: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
        """With the states that are reached without a step: ``**`` fits no level, too."""
        more = {(rule, part + 1) for rule, part in states if self._paths[rule][0][part : part + 1] == (_ANY_DEPTH,)}
        return states if more <= states else self._closed(states | more)

    def _below(self, place: _Place, key: str, inside: Any) -> _Place:
        """The place under a key, at which ``inside`` stands."""
        if place.action or (place.depth == 0 and key in KEPT):
            return _Place(frozenset(), place.action, key, place.depth + 1)
        states, action = self._step(place.states, key) if place.states else (place.states, None)
        if not action and self._preset and is_user_data(key, place.key, holds_objects=_holds_objects(inside)):
            action = self._preset
        return _Place(states, action, key, place.depth + 1)

    def _step(self, states: frozenset[tuple[int, int]], key: str) -> tuple[frozenset[tuple[int, int]], Action | None]:
        """What can still fit below a key, and the action of the first path that ends there."""
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
            # A list is passed through: what holds for it holds for each of its elements.
            for inside in value:
                yield None, inside, place._replace(depth=place.depth + 1)

    def _collect(self, value: Any, place: _Place, found: dict[str, Action]) -> None:
        """Find the values that must not stay, each with what is to become of it."""
        if isinstance(value, str) and place.action:
            _note(found, value, place.action)
        elif isinstance(value, str) and self._preset and not isinstance(value, _Number):
            for text in user_data_in(value):
                _note(found, text, self._preset)
        for key, inside, below in self._children(value, place):
            if self._preset and key:
                for text in user_data_in(key):
                    _note(found, text, self._preset)
            if not (place.depth == 0 and key in KEPT):
                self._collect(inside, below, found)

    def _rebuilt(self, value: Any, place: _Place, search: _Search) -> Any:
        if place.depth > DEEPEST:
            return MASK
        if value is None:
            return None
        if place.action and (isinstance(value, _Object) or not isinstance(value, list)):
            # An object as a whole: its keys can say as much as its values.
            return self._replaced(value if isinstance(value, str) else _dump(value), place.action)
        if isinstance(value, _Object):
            made, taken = _Object(), set()
            for key, inside, below in self._children(value, place):
                name = cast("str", key)
                if place.depth == 0 and name in KEPT:
                    made.append((name, inside))
                elif below.action != "drop":
                    # At the top all keys are Auth0's; further down they can be a user's (of a profile, of a form).
                    shown = name if place.depth == 0 else search.in_text(name)
                    while shown != name and shown in taken:
                        shown += "*"
                    taken.add(shown)
                    made.append((shown, self._rebuilt(inside, below, search)))
            return made
        if isinstance(value, list):
            return [self._rebuilt(inside, below, search) for _, inside, below in self._children(value, place)]
        return search.in_text(value) if isinstance(value, str) else value

    def _replaced(self, text: str, action: Action) -> str:
        if action != "pseudonym":
            return MASK
        if _A_PSEUDONYM.fullmatch(text):
            return text  # a dead letter that is redacted once more, by other rules: who is meant stays the same
        # In one case, so that a person who types an address in another way stays the same.
        data = text.casefold().encode("utf-8", "surrogatepass")
        return PSEUDONYM + hmac.new(self._key, data, hashlib.sha256).hexdigest()[:32]


class _Search:
    """Finds the values of one event wherever else they are: in other texts, in keys, however they are encoded there."""

    def __init__(self, found: Mapping[str, Action], replaced: Any) -> None:
        self._replaced = replaced
        self._found = found
        values = {text: action for value, action in found.items() for text in (value.strip(), value)}
        common = Counter(word for value in values for word in _words(value))
        # The longest first: of two that begin alike the pattern takes the one that it meets first.
        self._needles = [
            (min(_words(value), key=lambda word: (common[word], -len(word)), default=""), value, values[value])
            for value in sorted(values, key=len, reverse=True)
        ]

    def in_text(self, text: str) -> str:
        """The text with every such value replaced; a number with one becomes a text."""
        if text in self._found:
            return str(self._replaced(text, self._found[text]))
        lower = text.lower()
        # What is a letter or a digit stays as it is in every encoding.
        rarest = [(value, action) for word, value, action in self._needles if word in lower]
        inside = [(value, action) for value, action in rarest if all(word in lower for word in _words(value))]
        if not inside:
            return text
        pattern = "|".join(f"({_as_pattern(value)})" for value, _ in inside)

        def replacement(match: re.Match[str]) -> str:
            return str(self._replaced(*inside[(match.lastindex or 1) - 1]))

        return re.sub(pattern, replacement, text, flags=re.IGNORECASE)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, _Object) or (isinstance(value, list) and any(map(_holds_objects, value)))


def _note(found: dict[str, Action], value: str, action: Action) -> None:
    """Take a value down; where it stands at two places the stricter action counts for the rest of the event."""
    if not value.strip() or (isinstance(value, _Number) and len(value) < SHORT):
        return
    found[str(value)] = action if found.get(str(value), action) == action else "mask"


@functools.lru_cache(maxsize=1024)
def _words(value: str) -> frozenset[str]:
    """The runs of ASCII letters and digits of a value: what stays in every encoding of it."""
    return frozenset(word.lower() for word in re.findall(r"[A-Za-z0-9]+", value))


@functools.lru_cache(maxsize=1024)
def _as_pattern(value: str) -> str:
    """A value in any encoding: JSON's escapes and percent-encoding, of all characters or of some, also one in the other.

    Each part can be read in one way only, so that no text makes the search slow.
    """
    pattern = "".join(_any_spelling(character, escaped=bool(run)) for run, character in _PARTS.findall(value))
    # The flag is for long ones: a short one in another case is another word.
    return pattern if len(value) >= SHORT else rf"(?-i:(?<!\w){pattern}(?!\w))"


_PARTS = re.compile(r"(\\*)([^\\]|$)", re.DOTALL)
"""A character, and the backslashes before it."""
_BACKSLASHES = r"(?:\\|%(?:25)*5c)+"
"""As many as there are: each time that they are escaped there are more of them."""
_ESCAPED = {'"': '"', "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
"""What JSON writes behind a backslash (RFC 8259, 7)."""


@functools.lru_cache(maxsize=4096)
def _any_spelling(character: str, *, escaped: bool) -> str:
    plain, behind_backslash = {re.escape(character)}, set()
    if not (character.isascii() and character.isalnum()):
        for other in {character, character.lower(), character.upper()} - {""}:
            # A percent sign that is encoded is %25, however often that is done.
            plain.add("".join(f"%(?:25)*{byte:02x}" for byte in other.encode("utf-8", "surrogatepass")))
            behind_backslash.add(_BACKSLASHES.join(f"u{unit:04x}" for unit in _utf16(other)))
    if character in _ESCAPED:
        behind_backslash |= plain if character in '"/' else {_ESCAPED[character]}
    if character == " ":
        plain |= {r"\+", "%(?:25)*2b"}
    if escaped:
        return f"{_BACKSLASHES}(?:{'|'.join(sorted(plain | behind_backslash))})"
    if behind_backslash:
        plain.add(f"{_BACKSLASHES}(?:{'|'.join(sorted(behind_backslash))})")
    return f"(?:{'|'.join(sorted(plain))})" if len(plain) > 1 else plain.pop()


def _utf16(text: str) -> Iterator[int]:
    encoded = text.encode("utf-16-be", "surrogatepass")
    return (int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2))


def _dump(value: Any) -> str:
    if isinstance(value, _Object):
        return "{" + ", ".join(f"{json.dumps(key)}: {_dump(inside)}" for key, inside in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dump, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value)


def redaction_mark(rules: Mapping[str, Action]) -> str:
    """A short digest of the rules, to tell what an event that is kept was redacted by; empty where there are none."""
    return hashlib.sha256(json.dumps([*rules.items()]).encode()).hexdigest()[:12] if rules else ""
