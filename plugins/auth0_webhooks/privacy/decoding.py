"""Decodes a text: percent-encoding, JSON escapes and HTML entities, also nested in each other.

The cost grows linearly with the text. One pass decodes any number of layers of one encoding (``%25252540``, ``&amp;amp;quot;``, a
row of backslashes); only alternating encodings take one pass each, and after ``PASSES`` of them the rest is not decoded.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PASSES = 5
"""How often encodings may alternate, such as JSON in a query in HTML; a text with more alternations is ``too_deep``."""

# Each alternative matches a whole run, and no run matches in two ways, so no text makes the search slow.
_HEX = "[0-9A-Fa-f]"
_PERCENT = rf"%(?:25)*(?:[uU]({_HEX}{{4}})|({_HEX}{{2}}))"
_UNIT = rf"\\+[uU]({_HEX}{{4}})"
_CODED = re.compile(
    rf"(?P<percent>(?:%(?:25)*(?:[uU]{_HEX}{{4}}|{_HEX}{{2}}))+)"
    rf"|(?P<units>(?:\\+[uU]{_HEX}{{4}})+)"
    # Before other letters and digits a backslash is itself; before the rest it is taken for an escape, as in \\' and in \\\u00e9.
    r"|(?P<backslashes>\\+)(?P<escaped>[bfnrt]|[^\\%&A-Za-z0-9])?"
    rf"|&(?:amp;)*(?P<entity>#[xX]{_HEX}{{1,6}}|#\d{{1,7}}|[A-Za-z][A-Za-z0-9]{{1,31}});"
)
_ONE_PERCENT, _ONE_UNIT = re.compile(_PERCENT), re.compile(_UNIT)
_LETTERS = "bfnrt"
_CONTROLS = "\b\f\n\r\t"
_MARKS = "\uf8f0\uf8f1\uf8f2\uf8f3\uf8f4"
"""Placeholders for escapes like JSON's ``\\n``, until it is known whether the letter or the control character is meant."""
_AS_CONTROLS = dict(zip(map(ord, _MARKS), _CONTROLS, strict=True))
LETTER_OF = dict(zip(map(ord, _CONTROLS), _LETTERS, strict=True))


class Decoded(NamedTuple):
    """A decoded text.

    ``starts`` holds the position in the original at which each character begins, and the original's length at the end; None
    if nothing was encoded. ``passes`` is the number of passes over the text.
    """

    text: str
    starts: list[int] | None = None
    too_deep: bool = False
    passes: int = 1

    @property
    def plain(self) -> str:
        """For reading: JSON's escaped n is a line break."""
        return self.text.translate(_AS_CONTROLS) if self.starts else self.text

    @property
    def folded(self) -> str:
        """For comparing, see :func:`fold`: JSON's escaped n is the letter n, as in a Windows path."""
        return fold(self.text)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The positions of a part of the text in the original."""
        return (self.starts[start], self.starts[end]) if self.starts else (start, end)


def decode(text: str) -> Decoded:
    """Decode a text."""
    if "%" not in text and "\\" not in text and "&" not in text:
        return Decoded(text)
    starts: list[int] | None = None
    for number in range(PASSES):
        once = _pass(text)
        if once is None:
            return Decoded(text, starts, passes=number + 1)
        text, places = once
        starts = [starts[place] for place in places] if starts else places
    return Decoded(text, starts, too_deep=_pass(text) is not None, passes=PASSES + 1)


def fold(text: str) -> str:
    """A text in the form used for comparison: same length, one case, plus signs as spaces."""
    return text.lower().replace("+", " ") if text.isascii() else text.translate(_FOLDED)


def _pass(text: str) -> tuple[str, list[int]] | None:
    """The text with one layer decoded, and where each character begins; None if there is nothing to decode."""
    out: list[str] = []
    starts: list[int] = []
    done = 0
    for match in _CODED.finditer(text):
        at = match.start()
        made: list[tuple[str, int]] | None = None
        kind = match.lastgroup
        if kind == "percent":
            made = list(_bytes(match))
        elif kind == "units":
            made = list(_units(_ONE_UNIT.finditer(text, at, match.end())))
        elif kind == "entity":
            character = _entity(match["entity"])
            made = [(character, at)] if character else None
        elif letter := match["escaped"]:
            made = [(_MARKS[_LETTERS.index(letter)] if letter in _LETTERS else letter, at)]
        elif len(match["backslashes"]) > 1:
            made = [("\\", at)]
        if made:
            out.append(text[done:at])
            starts.extend(range(done, at))
            for character, place in made:
                out.append(character)
                starts.append(place)
            done = match.end()
    if not done:
        return None
    out.append(text[done:])
    starts.extend(range(done, len(text) + 1))
    return "".join(out), starts


def _bytes(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """The characters of a percent-encoded run: UTF-8, otherwise Latin-1, and ``%uXXXX`` as in old JavaScript."""
    pieces = list(_ONE_PERCENT.finditer(match.string, match.start(), match.end()))
    at = 0
    while at < len(pieces):
        first = at
        units = bool(pieces[at][1])
        while at < len(pieces) and bool(pieces[at][1]) is units:
            at += 1
        if units:
            yield from _units(pieces[first:at])
        else:
            raw = bytes(int(piece[2], 16) for piece in pieces[first:at])
            for character, size in _characters(raw):
                yield character, pieces[first].start()
                first += size


def _characters(raw: bytes) -> Iterable[tuple[str, int]]:
    if raw.isascii():
        return ((character, 1) for character in raw.decode("ascii"))
    try:
        return (
            (character, len(character.encode("utf-8", "surrogatepass"))) for character in raw.decode("utf-8", "surrogatepass")
        )
    except UnicodeDecodeError:
        # Bytes that are not UTF-8 become lone surrogates, and are read as Latin-1.
        return (
            (chr(ord(character) - 0xDC00), 1) if "\udc80" <= character <= "\udcff" else (character, len(character.encode()))
            for character in raw.decode("utf-8", "surrogateescape")
        )


def _units(pieces: Iterable[re.Match[str]]) -> Iterator[tuple[str, int]]:
    """Decode UTF-16, where two units can form one character."""
    high: tuple[int, int] | None = None
    for piece in pieces:
        unit, place = int(piece[1], 16), piece.start()
        if high and 0xDC00 <= unit < 0xE000:
            yield chr(0x10000 + (high[0] - 0xD800) * 0x400 + unit - 0xDC00), high[1]
            high = None
            continue
        if high:
            yield chr(high[0]), high[1]
        high = (unit, place) if 0xD800 <= unit < 0xDC00 else None
        if not high:
            yield chr(unit), place
    if high:
        yield chr(high[0]), high[1]


@functools.lru_cache(maxsize=1024)
def _entity(name: str) -> str | None:
    """The character of an entity; None if there is no such entity or it stands for two characters."""
    character = html.unescape(f"&{name};")
    return character if len(character) == 1 else None


class _Fold(dict[int, str]):
    """Maps each character to lower case, if that is a single character."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = next((low for low in (character.casefold(), character.lower()) if len(low) == 1), character)
        return self[code]


_FOLDED = _Fold({ord("+"): " "} | {ord(mark): letter for mark, letter in zip(_MARKS, _LETTERS, strict=True)})
