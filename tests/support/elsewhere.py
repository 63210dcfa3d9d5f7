"""Runs tests once more in another Airflow than this process has."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import PROJECT


def run_tests(mark, *more, **environment):
    """Run the tests of tests/runs with this mark in a process of their own; fails where one fails or is skipped.

    Airflow decides for its database and its XCom backend when it is imported.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/runs", *more, "-m", mark],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "skipped" not in done.stdout
