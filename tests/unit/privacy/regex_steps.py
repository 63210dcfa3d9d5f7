"""Counts what a regular expression costs: a backtracking matcher, slow and simple, that does what Python's does and counts."""

from __future__ import annotations

import re
from functools import cache

try:
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_parse as parser

_CATEGORIES = {"DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": lambda character: character.isalnum() or character == "_"}
_SINGLE = {"LITERAL", "NOT_LITERAL", "ANY", "IN"}


class Counter:
    """Steps of one pattern: characters compared, and places gone back to."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.steps = 0
        self._nodes = list(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE | re.UNICODE))
        self._ignores_case = bool(pattern.flags & re.IGNORECASE)

    def find_all(self, text: str) -> list[tuple[int, int]]:
        """As ``finditer``; the places of the matches."""
        found, at = [], 0
        while at <= len(text):
            end = next(self._sequence(self._nodes, 0, text, at), None)
            if end is not None:
                found.append((at, end))
            at = at + 1 if end is None or end == at else end
        return found

    def _sequence(self, nodes, index, text, at):
        if index == len(nodes):
            yield at
            return
        for end in self._node(*nodes[index], text, at):
            yield from self._sequence(nodes, index + 1, text, end)

    def _node(self, op, value, text, at):
        self.steps += 1
        name = str(op)
        if name in _SINGLE:
            if at < len(text) and self._fits(name, value, text[at]):
                yield at + 1
        elif name == "SUBPATTERN":
            yield from self._sequence(list(value[-1]), 0, text, at)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from self._sequence(list(branch), 0, text, at)
        elif name in {"ASSERT", "ASSERT_NOT"}:
            direction, inside = value
            start = at if direction > 0 else at - inside.getwidth()[0]
            there = start >= 0 and next(self._sequence(list(inside), 0, text, start), None) is not None
            if there is (name == "ASSERT"):
                yield at
        elif name == "MAX_REPEAT":
            low, high, inside = value
            yield from self._repeat(list(inside), low, high, 0, text, at)
        else:
            raise NotImplementedError(name)

    def _repeat(self, inside, low, high, count, text, at):
        self.steps += 1
        if len(inside) == 1 and str(inside[0][0]) in _SINGLE:
            end = at
            while end < len(text) and end - at < high and self._fits(str(inside[0][0]), inside[0][1], text[end]):
                self.steps += 1
                end += 1
            for back in range(end, at + low - 1, -1):
                self.steps += 1
                yield back
            return
        if count < high:
            for end in self._sequence(inside, 0, text, at):
                if end > at:
                    yield from self._repeat(inside, low, high, count + 1, text, end)
        if count >= low:
            yield at

    def _fits(self, name, value, character):
        cases = {character, character.lower(), character.upper()} if self._ignores_case else {character}
        if name == "ANY":
            return character != "\n"
        if name == "IN":
            return any(_in(_hashable(value), each) for each in cases)
        return any(ord(each) == value for each in cases) is (name == "LITERAL")


def _hashable(value):
    return tuple((str(op), argument) for op, argument in value)


@cache
def _in(value, character):
    negated = value[0][0] == "NEGATE"
    for name, argument in value:
        fits = (
            (name == "LITERAL" and ord(character) == argument)
            or (name == "RANGE" and argument[0] <= ord(character) <= argument[1])
            or (name == "CATEGORY" and _category(str(argument), character))
        )
        if fits:
            return not negated
    return negated


def _category(name, character):
    name = name.removeprefix("CATEGORY_").removeprefix("UNI_")
    return _CATEGORIES[name.removeprefix("NOT_")](character) is not name.startswith("NOT_")
