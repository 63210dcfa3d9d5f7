"""``make bench``: measure, print each target with its figure, write docs/benchmarks.md; exits with 1 if a target is missed."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from bench.support.results import DOCS, Part, commit, machine, quoted, table_of_targets

PARTS = ("audit", "budget", "delivery", "idle", "latency", "pacing", "parsing", "pipeline", "redaction", "routes")

AT_ONCE = ("audit", "budget", "idle")
"""They count, or wait more than they work, so they run at the same time, after the others."""


def main() -> int:
    """Run the requested parts; write docs/benchmarks.md if all parts ran."""
    parser = argparse.ArgumentParser(description="Benchmarks, side by side.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"some of: {', '.join(PARTS)}; all by default")
    asked = parser.parse_args().parts or list(PARTS)
    began, of = time.monotonic(), commit()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)

    def run(name: str) -> list[Part]:
        found: list[Part] = importlib.import_module(f"bench.{name}").run(say)
        return found

    measured = {name: run(name) for name in asked if name not in AT_ONCE}
    with ThreadPoolExecutor() as pool:
        at_once = {name: pool.submit(run, name) for name in asked if name in AT_ONCE}
    measured |= {name: future.result() for name, future in at_once.items()}
    parts = [part for name in PARTS if name in measured for part in measured[name]]
    targets = table_of_targets(parts)
    for part in parts:
        print(f"\n{part.markdown()}")
    print(f"\n{targets}", flush=True)
    if set(asked) == set(PARTS):
        sections = "\n".join(part.markdown() for part in parts)
        when = f"Written by `make bench` on {datetime.now(timezone.utc):%Y-%m-%d}, of commit {of}, on {machine()}."
        DOCS.joinpath("benchmarks.md").write_text(f"# Benchmarks\n\n{when}\n\n{targets}\n\n{sections}", encoding="utf-8")
        figures = [target.figure for part in parts for target in part.targets]
        for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
            page.write_text(quoted(page.read_text(encoding="utf-8"), figures), encoding="utf-8")
        print(f"\ndocs/benchmarks.md is written; {(time.monotonic() - began) / 60:.0f} minutes")
    return int(any(not target.met for part in parts for target in part.targets))


if __name__ == "__main__":
    sys.exit(main())
