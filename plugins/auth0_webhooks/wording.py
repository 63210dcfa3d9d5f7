"""How messages show counts and what somebody wrote, and the name that was probably meant."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother = 2, 100, 100


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 event``, ``1,000 events``.

    :param many: the plural, if it is more than an "s" at the end.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def shortened(value: object) -> str:
    """A value as Python writes it, cut to 200 characters: by its aliases, a small YAML file can hold a value of gigabytes."""
    text = _repr.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'log_level'?)`` with the closest known name; empty if none is close."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:100].lower(), names, n=1, cutoff=0.6)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""
