"""Reads a JSON object that is nested too deeply for Python's parser: finds its end, and its top-level texts."""

from __future__ import annotations

import json
import re

# RFC 8259, plus NaN and Infinity, which Python's parser accepts, too. Each token can match in only one way.
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r'(?P<text>"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*")'
    r"|(?P<other>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity)"
    r"|(?P<mark>[\[\]{},:]))"
)
_MARK = re.compile(r'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"')
MANY_LEVELS = 100
"""Parsers fail beyond 64 levels (.NET), 128 (Rust's serde), 1,000 (Python, Java's Jackson); Auth0's events have about ten."""
_CLOSES = {"[": "]", "{": "}"}
_VALUE = {"text": "end", "other": "end", "[": "first value", "{": "first key"}
# For each expected token: the tokens that may follow, and what is expected after them.
_GRAMMAR = {
    "object": {"{": "first key"},
    "value": _VALUE,
    "first value": _VALUE | {"]": "end"},
    "key": {"text": "colon"},
    "first key": {"text": "colon", "}": "end"},
    "colon": {":": "value"},
    "end": {",": "", "]": "end", "}": "end"},
}


def read_object(text: str, start: int) -> tuple[dict[str, str], int]:
    """Read the object that begins at ``start``, without recursion.

    :return: its top-level members that are texts, or numbers in their original notation (the last one of a repeated key); and
        the position of its end.
    :raises ValueError: when it is truncated or not JSON; as with ``json``, ``pos`` of the error says where.
    """
    members: dict[str, tuple[str, str]] = {}
    open_: list[str] = []
    key, at, expected = "", start, "object"
    while open_ or at == start:
        what, token, at = _token(text, at)
        after = _GRAMMAR[expected].get(what)
        if after is None or (what in {"]", "}"} and _CLOSES[open_.pop()] != what):
            raise _no_json(text, at - len(token))
        if len(open_) == 1 and after == "colon":
            key = json.loads(token)
        elif len(open_) == 1 and expected == "value":
            members[key] = what, token
        if what in _CLOSES:
            open_.append(what)
        expected = after or ("key" if open_[-1] == "{" else "value")
    texts = {key: json.loads(token) for key, (what, token) in members.items() if what == "text"}
    return texts | {key: token for key, (what, token) in members.items() if what == "other" and token[-1].isdigit()}, at


def is_deep(text: str) -> bool:
    """Whether JSON is nested more than ``MANY_LEVELS`` deep, which not every parser accepts."""
    if text.count("[") + text.count("{") <= MANY_LEVELS:
        return False
    level = 0
    for mark in _MARK.findall(text):
        level += (mark in _CLOSES) - (mark in "]}")
        if level > MANY_LEVELS:
            return True
    return False


def _token(text: str, at: int) -> tuple[str, str, int]:
    """The next token: its kind, or the token itself if it is punctuation; its text; its end."""
    match = _TOKEN.match(text, at)
    kind = match and match.lastgroup
    if not match or not kind:
        raise _no_json(text, at)
    return (match[kind] if kind == "mark" else kind), match[kind], match.end()


def _no_json(text: str, at: int) -> json.JSONDecodeError:
    return json.JSONDecodeError("not JSON", text, at)
