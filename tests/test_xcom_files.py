"""Whole runs once more with XCom in object storage, as docker-compose.yaml has it: Airflow's real backend on a folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.airflow


def run_tests(folder, *arguments):
    """Airflow decides for an XCom backend when it is imported: these tests need a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=PROJECT,
        env={**os.environ, "TEST_XCOM_FOLDER": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_runs_do_the_same_with_xcom_in_files(tmp_path):
    chosen = "delivers_what or no_batch_outlives or stays_away"
    assert "3 passed" in run_tests(tmp_path, "tests/test_runs.py", "-k", chosen)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_batches_lie_in_files_go_with_their_run_and_may_get_lost(tmp_path):
    assert "4 passed" in run_tests(tmp_path, "tests/xcom_files_cases.py")
