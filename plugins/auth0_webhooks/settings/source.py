"""A YAML file as its author sees it: which key is on which line. Mistakes are collected: the first one does not hide the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from auth0_webhooks.wording import shortened

MAX_BYTES = 1_000_000
"""The largest route file: some thousand routes. Airflow parses it several times a minute."""

_MERGE, _NULL = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:null"


class SourceError(Exception):
    """Nothing can be read from the file; the message says why, and what to do. ``line`` is None if it concerns the whole file."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class Problem(NamedTuple):
    """Something wrong in the file, on a line; ``key`` is the key of a mapping that cannot be used because of it."""

    line: int
    text: str
    key: str


class Entry(NamedTuple):
    """A key of a mapping as it is written, its line, and its value."""

    key: str
    line: int
    node: yaml.Node


class _NotesTwice(yaml.constructor.SafeConstructor):
    """Notes keys that occur twice in one mapping: PyYAML would silently keep the last one."""

    twice: list[Problem]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.twice += _twice(node)
        return super().construct_mapping(node, deep)


class _Loader(_NotesTwice, yaml.SafeLoader):
    """PyYAML's own: its messages are the ones that people get."""


try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]
except ImportError:  # a PyYAML that was built without libyaml
    _Fast: Any = None
else:

    class _FastLoader(_NotesTwice, yaml.composer.Composer, CParser, yaml.resolver.Resolver):
        """Reads with libyaml, five times as fast. Each task of a route reads the file.

        The nodes are composed in Python. libyaml's own composer, as in CSafeLoader, crashes the process at a few thousand open
        brackets.
        """

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            yaml.composer.Composer.__init__(self)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    _Fast = _FastLoader


class Source:
    """A YAML file with one document, parsed; ``root`` is None if it is empty.

    :raises SourceError: when it cannot be read, is too large, is not UTF-8 or is not YAML.
    """

    def __init__(self, path: Path) -> None:
        text = _read(path)
        self.root: yaml.Node | None
        try:
            self._loader, self.root = _composed(text)
        except yaml.MarkedYAMLError as error:
            problem = _marked(error)
            raise SourceError(f"not valid YAML: {problem.text}", problem.line) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise SourceError(f"not valid YAML: remove the control character #x{ord(text[error.position]):02x}", line) from None
        except RecursionError:
            raise SourceError("not a route file: its values are nested too deeply") from None

    def entries(self, node: yaml.Node) -> tuple[list[Entry], list[Problem]]:
        """The entries of a mapping, with those that ``<<`` merges into it, and what is wrong with its keys.

        A key that occurs twice has two entries. An empty value has none.
        """
        try:
            return _entries(node), _twice(node)
        except RecursionError:
            return [], [Problem(node.start_mark.line + 1, "'<<' merges a mapping into itself", "<<")]

    def value(self, entry: Entry) -> tuple[Any, list[Problem]]:
        """What an entry's value is in Python, and what is wrong with it."""
        self._loader.twice = []
        try:
            return self._loader.construct_object(entry.node, deep=True), self._loader.twice
        except yaml.MarkedYAMLError as error:
            return None, [_marked(error)]
        except (ValueError, OverflowError) as error:
            # YAML takes 2026-02-31 for a date, and Python refuses numbers of thousands of digits.
            return None, [Problem(entry.line, f"no valid value: {error}", "")]
        except RecursionError:
            return None, [Problem(entry.line, "no valid value: it is nested too deeply", "")]


def _composed(text: str) -> tuple[Any, yaml.Node | None]:
    """The loader of a text, and the root of its nodes. Raises what PyYAML raises."""
    if _Fast:
        try:
            loader = _Fast(text)
            return loader, loader.get_single_node()
        except (yaml.YAMLError, RecursionError, ValueError):
            pass  # and once more, for PyYAML's own message
    loader = _Loader(text)
    return loader, loader.get_single_node()


def is_settings(node: yaml.Node) -> bool:
    """Whether a value is a mapping, or empty."""
    return isinstance(node, yaml.MappingNode) or node.tag == _NULL


def line_in(node: yaml.Node, item: object) -> int | None:
    """The line of an item of a list or of a key of a mapping; None if the value is neither, or has no such item."""
    if isinstance(node, yaml.ScalarNode):
        return None
    parts = (part[0] if isinstance(part, tuple) else part for part in node.value)
    return next((part.start_mark.line + 1 for part in parts if str(part.value).strip() == str(item)), None)


def _entries(node: yaml.Node) -> list[Entry]:
    """A mapping's own entries, and before them those that it merges and does not have itself: of several, the first's."""
    if not isinstance(node, yaml.MappingNode):
        return []
    own = [Entry(_text(key), key.start_mark.line + 1, value) for key, value in node.value if key.tag != _MERGE]
    merged: dict[str, Entry] = {}
    for key, value in node.value:
        for other in value.value if key.tag == _MERGE and isinstance(value, yaml.SequenceNode) else [value]:
            if key.tag == _MERGE:
                merged = {**{entry.key: entry for entry in _entries(other)}, **merged}
    for entry in own:
        merged.pop(entry.key, None)
    return [*merged.values(), *own]


def _twice(node: yaml.Node) -> list[Problem]:
    first: dict[str, int] = {}
    found = []
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        text, line = _text(key), key.start_mark.line + 1
        if text in first:
            problem = f"{shortened(text)} is defined twice, first on line {first[text]}: keep one of them"
            found.append(Problem(line, problem, text))
        first.setdefault(text, line)
    return found


def _text(key: yaml.Node) -> str:
    return str(key.value) if isinstance(key, yaml.ScalarNode) else "[...]"


def _marked(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    words = [error.context or "", error.problem or "", error.note or ""]
    return Problem(mark.line + 1 if mark else 1, ", ".join(filter(None, words)), "")


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise SourceError("this is a folder: name the route file in it")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        size = max(path.stat().st_size, len(content))
    except FileNotFoundError:
        raise SourceError(f"there is no such file in {path.absolute().parent}: create it, or correct the name") from None
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror}): correct that, or name another file") from None
    if size > MAX_BYTES:
        raise SourceError(
            f"this is no route file, or too large for one: it has {size / 1e6:,.1f} MB, and the limit is {MAX_BYTES / 1e6:g} MB. "
            "Divide the routes among several files, each with a DAG file"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"not UTF-8 (byte {content[error.start]:#04x}): save the file in the encoding UTF-8", line) from None
