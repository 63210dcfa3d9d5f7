"""Finds an event's values in its other texts and keys, however they are encoded there.

The cost grows linearly with the event, whatever its values and texts are: a text that would cost more is masked as a whole.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from auth0_webhooks.privacy.decoding import LETTER_OF, Decoded, decode, fold
from auth0_webhooks.privacy.user_data import FEWEST_DIGITS, phone_digits

Action = Literal["mask", "drop", "pseudonym"]

MASK = "***"
SHORT = 4
"""A shorter text is searched for only as a whole word; a number with fewer digits is not searched for."""
MOST_VALUES = 2_000
"""In an event with more values to redact, every text is masked; Auth0's events have about a hundred at most."""
STEPS = 4
"""Comparisons that a text may cost per character; a text that would cost more is masked as a whole."""
FEW = 16
"""Up to this many values are searched for one by one, more of them all at once."""
_PROBE, _GRAM = 24, 4
_DIGITS = re.compile(r"[0-9](?:[ ().\-/\u00a0]{0,3}[0-9])*")


class _Needle(NamedTuple):
    """A value in one of the forms in which it is searched for. ``word``: as a whole word only; ``exact``: case-sensitive."""

    form: str
    value: str
    text: str
    word: bool = False
    exact: bool = False


_Match = tuple[int, int, _Needle]


class Found:
    """The values of one event to redact, each with its action. ``work`` counts the cost of reading the event's texts."""

    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}
        self.words: set[str] = set()
        self.placed: set[str] = set()
        self.work = 0
        self._texts: dict[str, Decoded] = {}

    @property
    def too_many(self) -> bool:
        """Whether there are more than can be searched for."""
        return len(self.actions) > MOST_VALUES

    def read(self, text: str) -> Decoded:
        """A decoded text."""
        read = self._texts.get(text)
        if read is None:
            read = self._texts[text] = decode(text)
            self.work += read.passes * len(text)
        return read

    def note(self, value: str, action: Action, *, placed: bool = False, word: bool = False) -> None:
        """Add a value; if it is at two places, the stricter action applies in the rest of the event.

        :param placed: the value has a key of its own; it is not part of a text.
        :param word: the value may be an ordinary word: search for it only as a whole word.
        """
        if not value.strip() or self.too_many:
            return
        if placed:
            self.placed.add(value)
        if not word:
            self.words.discard(value)
        elif value not in self.actions:
            self.words.add(value)
        self.actions[value] = action if self.actions.get(value, action) == action else "mask"


class ValueSearch:
    """Replaces the values that were found.

    :param replaced: returns the replacement of a value.
    :param strict: mask texts that cannot be decoded, even if no value is known.
    """

    def __init__(self, found: Found, replaced: Callable[[str, Action], str], *, strict: bool) -> None:
        self._found, self._replaced = found, replaced
        self._strict = strict or bool(found.actions)
        self._actions = dict(found.actions) | {value.strip(): action for value, action in found.actions.items()}
        self._needles: dict[str, _Needle] = {}
        self._phones: dict[str, tuple[str, _Needle]] = {}
        if not found.too_many:
            # If a phone number has several spellings, the one with a key of its own counts.
            for value in sorted(self._actions, key=lambda value: value not in found.placed):
                self._add(value)
        # The shortest first: values longer than the text need no search.
        probes = ((len(form), form[:_PROBE], needle) for form, needle in self._needles.items())
        self._by_length = sorted(probes, key=lambda probe: probe[0])
        self._many = len(self._needles) > FEW
        self._grams = self._index() if self._many else {}

    def in_text(self, text: str) -> str:
        """The text with every such value replaced; a number that contains one becomes a text."""
        if not self._strict or not text:
            return text
        if action := self._found.actions.get(text):
            return self._replaced(text, action)
        if self._found.too_many:
            return text if len(text) < SHORT and text.isdigit() else MASK
        read = self._found.read(text)
        if read.too_deep:
            return MASK
        matches = self._matches(read.folded, read.text, read)
        if matches is not None and read.starts:
            # Search again without decoding: the end of an encoding and the start of a value can combine into something else.
            raw = self._matches(fold(text), text, Decoded(text))
            matches = None if raw is None else matches + raw
        if matches is None:
            return MASK
        return self._with_replaced(text, matches) if matches else text

    def _with_replaced(self, text: str, matches: list[_Match]) -> str:
        matches.sort(key=lambda match: (match[0], -match[1]))
        pieces, done = [], 0
        for start, end, needle in matches:
            if start >= done:
                pieces += [text[done:start], self._replaced(needle.value, self._actions[needle.value])]
                done = end
            elif end > done:
                done = end  # it overlaps the previous match: neither is kept
        return "".join([*pieces, text[done:]])

    def _add(self, value: str) -> None:
        word = value in self._found.words
        needles, digits = _needles(value, word=word) if len(value) <= 200 else _needles.__wrapped__(value, word=word)
        if digits:
            number = self._phones.setdefault(digits[-FEWEST_DIGITS:], (digits, _Needle(digits, value, value)))
            value = number[1].value
        for needle in needles:
            self._needles.setdefault(needle.form, needle._replace(value=value))

    def _index(self) -> dict[int, dict[str, list[tuple[int, _Needle]]]]:
        """An index of the needles by a few of their characters, chosen to be as rare as possible."""
        parts = {
            form: [(at, form[at : at + _GRAM]) for at in range(0, max(1, len(form) - _GRAM + 1), max(1, len(form) // 8))]
            for form in self._needles
        }
        common = Counter(part for some in parts.values() for _, part in some)
        index: dict[int, dict[str, list[tuple[int, _Needle]]]] = {}
        for form, some in parts.items():
            at, part = min(some, key=lambda one: common[one[1]])
            index.setdefault(len(part), {}).setdefault(part, []).append((at, self._needles[form]))
        return index

    def _matches(self, folded: str, text: str, read: Decoded) -> list[_Match] | None:
        """The positions of values in the original; None if finding them costs too much."""
        matches: list[_Match] = []
        left = STEPS * len(folded) + 1_000
        for start, needle in self._candidates(folded):
            left -= 1 + len(needle.form) // 32
            if left < 0:
                return None
            end = start + len(needle.form)
            if start >= 0 and folded.startswith(needle.form, start) and _fits(needle, text, start, end):
                matches.append((*read.span(start, end), needle))
        self._found.work += (STEPS + 1) * len(folded) + 1_000 - left
        for start, end, needle in self._phones_in(text) if self._phones else ():
            matches.append((*read.span(start, end), needle))
        return matches

    def _candidates(self, folded: str) -> Iterator[tuple[int, _Needle]]:
        """The positions where a value may begin."""
        if self._many:
            for size, index in self._grams.items():
                for at in range(len(folded) - size + 1):
                    if (part := folded[at : at + size]) in index:
                        for offset, needle in index[part]:
                            yield at - offset, needle
            return
        for size, probe, needle in self._by_length:
            if size > len(folded):
                return
            if probe in folded:
                at = folded.find(probe)
                while at >= 0:
                    yield at, needle
                    at = folded.find(probe, at + (size if folded.startswith(needle.form, at) else 1))

    def _phones_in(self, text: str) -> Iterator[_Match]:
        """Phone numbers in other spellings: with other separators, without the country code."""
        for run in _DIGITS.finditer(text):
            if len(run[0]) < FEWEST_DIGITS:
                continue
            places = [at for at in range(run.start(), run.end()) if text[at] in "0123456789"]
            digits = "".join(text[at] for at in places)
            self._found.work += len(run[0])
            for end in range(FEWEST_DIGITS, len(digits) + 1):
                if known := self._phones.get(digits[end - FEWEST_DIGITS : end]):
                    number, needle = known
                    same = FEWEST_DIGITS
                    while same < min(len(number), end) and number[-same - 1] == digits[end - same - 1]:
                        same += 1
                    start = places[end - same]
                    for _ in range(3):
                        # A trunk 0, or a country code.
                        if start and (text[start - 1] in "+(" or text[start - 1].isdigit()):
                            start -= 1
                    yield start, places[end - 1] + 1, needle


@functools.lru_cache(maxsize=1024)
def _needles(value: str, *, word: bool) -> tuple[list[_Needle], str | None]:
    """The forms in which a value is searched for, and its digits where it is a phone number."""
    read, short, digits = decode(value), len(value) < SHORT, phone_digits(value)
    made: dict[str, _Needle] = {}
    for form, text in ((fold(value), value), (read.folded, read.text)):
        # In capitals an ß is SS.
        for spelled in (form, form.translate(LETTER_OF), form if short else fold(text.casefold())):
            exact = short or not form.strip()
            if not exact:
                # Without a phone number's plus, which would match the space before a number without one. And without trailing
                # backslashes: only the next character shows whether they belong to an escape.
                spelled = (spelled.lstrip(" ") if digits else spelled).rstrip("\\") or spelled  # noqa: PLW2901
            if spelled:
                made[spelled] = _Needle(spelled, value, text, word=word or short, exact=exact)
    return list(made.values()), digits


def _fits(needle: _Needle, text: str, start: int, end: int) -> bool:
    if needle.exact:
        there = text[start:end]
        # A space can be encoded as a plus.
        if there != needle.text and there.replace("+", " ") != needle.text:
            return False
    if needle.word:
        return not ((start and _in_word(text[start - 1])) or (end < len(text) and _in_word(text[end])))
    return True


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
