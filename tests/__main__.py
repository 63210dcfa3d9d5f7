"""Runs every test: the live ones on their Airflow and, beside them, all others. Live tests wait more than they work.

``python -m tests fast`` runs those of tests/unit that are not marked slow; more arguments go to pytest.
"""

from __future__ import annotations

import os
import signal
import sys

from tests.live.__main__ import main as run_live_tests
from tests.support.processes import beside, run

AT_ONCE = str((os.cpu_count() or 1) + 1)
SIDE_BY_SIDE = (sys.executable, "-m", "pytest", "-n", AT_ONCE, "--dist", "loadfile", "--no-loadscope-reorder")
"""A file at a time in one process more than there are cores, since tests also wait. The longest files are in tests/runs."""


def main(arguments: list[str]) -> int:
    """Run them; 0 if all passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    if arguments[:1] == ["fast"]:
        return run([*SIDE_BY_SIDE, "-m", "not slow", "tests/unit", *arguments[1:]])
    with beside([*SIDE_BY_SIDE, "tests/runs", "tests/unit", *arguments]) as others:
        live = run_live_tests(arguments)
        return max(live, others.wait())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
