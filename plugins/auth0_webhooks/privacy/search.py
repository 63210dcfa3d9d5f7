"""Finds the values of one event wherever else they are in it: in other texts, in keys, however they are encoded there.

The cost grows linearly with the event, whatever its values and its texts are: what would cost more is masked as a whole.
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
"""A text of fewer characters is searched for as a word only; a number of fewer digits not at all."""
MOST_VALUES = 2_000
"""An event with more values that must not stay keeps no text at all; Auth0's events have some hundred at the most."""
STEPS = 4
"""Comparisons that a text may cost, by its length; a text that would cost more is masked as a whole."""
FEW = 16
"""So many values are searched for one by one, more of them all at once."""
_PROBE, _GRAM = 24, 4
_DIGITS = re.compile(r"[0-9](?:[ ().\-/\u00a0]{0,3}[0-9])*")


class _Needle(NamedTuple):
    """A value in one of the forms in which it is searched for. ``word``: as a word only; ``exact``: in its own case."""

    form: str
    value: str
    text: str
    word: bool = False
    exact: bool = False


_Match = tuple[int, int, _Needle]


class Found:
    """The values of one event that must not stay, each with what becomes of it. ``work`` counts what reading its texts cost."""

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
        """A text with its encodings undone."""
        read = self._texts.get(text)
        if read is None:
            read = self._texts[text] = decode(text)
            self.work += read.passes * len(text)
        return read

    def note(self, value: str, action: Action, *, placed: bool = False, word: bool = False) -> None:
        """Take a value down; where it stands at two places the stricter action counts for the rest of the event.

        :param placed: it stands at a place of its own, not inside a text.
        :param word: it may be a word as others use it: search for it as a word only.
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

    :param replaced: what becomes of a value.
    :param strict: mask what cannot be read, even where no value is known.
    """

    def __init__(self, found: Found, replaced: Callable[[str, Action], str], *, strict: bool) -> None:
        self._found, self._replaced = found, replaced
        self._strict = strict or bool(found.actions)
        self._actions = dict(found.actions) | {value.strip(): action for value, action in found.actions.items()}
        self._needles: dict[str, _Needle] = {}
        self._phones: dict[str, tuple[str, _Needle]] = {}
        if not found.too_many:
            # Of a phone number in several spellings the one at its own place counts.
            for value in sorted(self._actions, key=lambda value: value not in found.placed):
                self._add(value)
        # The shortest first: of most texts only those that are no longer need be looked for.
        probes = ((len(form), form[:_PROBE], needle) for form, needle in self._needles.items())
        self._by_length = sorted(probes, key=lambda probe: probe[0])
        self._many = len(self._needles) > FEW
        self._grams = self._index() if self._many else {}

    def in_text(self, text: str) -> str:
        """The text with every such value replaced; a number with one becomes a text."""
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
            # Once more as it stands: what an encoding's end and a value's beginning make together is neither.
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
                done = end  # it begins in the one before: of neither anything stays
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
        """By some of its characters, each needle; by those that the fewest others have."""
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
        """Where values are, as places of the original; None where finding that out costs too much."""
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
        """Where a value may begin."""
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
        """A phone number in other spellings: with other gaps, without its country's code."""
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
                        # A trunk 0, a country's code.
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
                # Without the plus of a phone number: it would take the blank before one that has none. And without backslashes
                # at the end: what follows there says whether they are an escape's.
                spelled = (spelled.lstrip(" ") if digits else spelled).rstrip("\\") or spelled  # noqa: PLW2901
            if spelled:
                made[spelled] = _Needle(spelled, value, text, word=word or short, exact=exact)
    return list(made.values()), digits


def _fits(needle: _Needle, text: str, start: int, end: int) -> bool:
    if needle.exact:
        there = text[start:end]
        # A blank can be sent as a plus.
        if there != needle.text and there.replace("+", " ") != needle.text:
            return False
    if needle.word:
        return not ((start and _in_word(text[start - 1])) or (end < len(text) and _in_word(text[end])))
    return True


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
