"""Figures, targets, and the tables and plots made from them."""

from __future__ import annotations

import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DOCS = Path(__file__).resolve().parents[2] / "docs"
QUOTE = re.compile(r'\[(?P<value>[^\]]+)\]\((?P<page>[\w/]*benchmarks\.md#[\w-]+) "(?P<name>[^"]+)"\)')


@dataclass(frozen=True)
class Figure:
    """One figure as measured in several runs; ``unit`` is written after the numbers."""

    name: str
    values: tuple[float, ...]
    unit: str = ""

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        spread = f" ({_number(min(self.values))} to {_number(max(self.values))})" if len(self.values) > 1 else ""
        return f"{_number(self.median)}{spread}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True)
class Target:
    """The target of a figure: ``holds`` judges the median. ``why`` explains a target that is missed."""

    figure: Figure
    wanted: str
    holds: Callable[[float], bool]
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.holds(self.figure.median)


def at_least(figure: Figure, value: float, why: str = "") -> Target:
    """A target with a lower limit."""
    return Target(figure, f"at least {_number(value)}", lambda median: median >= value, why)


def at_most(figure: Figure, value: float, why: str = "") -> Target:
    """A target with an upper limit."""
    return Target(figure, f"at most {_number(value)}", lambda median: median <= value, why)


@dataclass
class Part:
    """One benchmark's result: rows for people, and its targets."""

    title: str
    how: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """A section of docs/benchmarks.md."""
        lines = [f"## {self.title}", "", self.how, ""]
        lines += [f"![{self.title}](images/{picture})" for picture in self.pictures]
        lines += [""] if self.pictures else []
        if self.rows:
            lines += [_row(self.columns), _row(["---"] * len(self.columns)), *map(_row, self.rows), ""]
        return "\n".join(lines)


def table_of_targets(parts: Sequence[Part]) -> str:
    """Each target with its figure, met or missed."""
    lines = [_row(("", "wanted", "measured", "")), _row(["---"] * 4)]
    lines += [
        _row((target.figure.name, target.wanted, str(target.figure), "met" if target.met else "**missed**"))
        for part in parts
        for target in part.targets
    ]
    missed = [target for part in parts for target in part.targets if target.why and not target.met]
    if missed:
        lines += ["", "Why targets are missed:", "", *(f"- {target.figure.name}: {target.why}" for target in missed)]
    return "\n".join(lines)


def quoted(text: str, figures: Iterable[Figure]) -> str:
    """A page of the docs with the medians that it quotes brought up to date.

    It quotes the figure that the title of a link to benchmarks.md names: ``[2,500](benchmarks.md#delivery "deliver")``.
    """
    medians = {figure.name: _number(figure.median) for figure in figures}

    def replaced(found: re.Match[str]) -> str:
        return f'[{medians.get(found["name"], found["value"])}]({found["page"]} "{found["name"]}")'

    return QUOTE.sub(replaced, text)


def commit() -> str:
    """The commit that is measured, as short as git writes it, and what of it is changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=DOCS, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (", with changes" if git("status", "--porcelain") else "")


def machine() -> str:
    """The machine of the measurement, in a few words."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()}, Python {platform.python_version()}; "
        "tenant, receiver and all of Airflow on the same machine"
    )


def draw(name: str, title: str, x: str, y: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, log: bool = False) -> str:
    """Draw one plot into docs/images; returns the file's name.

    :param lines: the points of each line, by its label.
    """
    import matplotlib as mpl

    mpl.use("svg")
    # The same figures must give the same file.
    mpl.rcParams["svg.hashsalt"] = name
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for (label, points), style in zip(lines.items(), ("o-", "s--", "^:", "D-.", "v-"), strict=False):
        axes.plot([at for at, _ in points], [value for _, value in points], style, label=label)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set(title=title, xlabel=x, ylabel=y)
    if not log:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.tight_layout()
    path = f"bench-{name}.svg"
    (DOCS / "images").mkdir(exist_ok=True)
    figure.savefig(DOCS / "images" / path, metadata={"Date": None})
    plt.close(figure)
    return path


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
