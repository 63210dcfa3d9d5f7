"""Runs tests once more in another Airflow than this process has."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import PROJECT


def run_tests(mark, *more, **environment):
    """Run the tests of tests/runs with this mark in a process of their own; fails where one fails or is skipped.

    Airflow decides for its database and its XCom backend when it is imported.

    :param more: names of further files there, which have no name of a test's because they run here only.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "tests/runs", "-o", f"python_files={' '.join(['test_*.py', *more])}", "-m", mark],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "skipped" not in done.stdout
    assert [name for name in more if f"{name}::" not in done.stdout] == [], "they did not run"
