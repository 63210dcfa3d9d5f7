"""Whole runs once more with XCom in object storage, as docker-compose.yaml has it: Airflow's real backend on a folder."""

from __future__ import annotations

import pytest

from tests.runs.backends.elsewhere import run_tests

pytestmark = pytest.mark.airflow


def test_runs_do_the_same_with_xcom_in_files_and_leave_none(tmp_path):
    run_tests("xcom_files", "xcom_files_cases.py", TEST_XCOM_FOLDER=str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
