"""What test_xcom_files.py runs in a process of its own, with XCom above 4 kB in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.runner import spread, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.xcom_files, pytest.mark.usefixtures("airflow_home", "connections")]
FOLDER = Path(os.environ["TEST_XCOM_FOLDER"])


def files(task_id="*"):
    """The files that hold values of a task."""
    return [path for path in FOLDER.rglob("*") if path.is_file() and (task_id == "*" or task_id in path.parts)]


def test_the_batches_of_a_run_lie_in_files_and_only_their_names_in_the_database(route, tenant, receiver):
    seen = {}

    def behave(_post):
        if not seen:
            rows = "select value from xcom where dag_id = :dag and key = 'batch_00000'"
            seen.update(files=len(files()), values=[str(value) for (value,) in route.rows(rows, dag=route.name)])
        return 200

    receiver.behave = behave
    spread(tenant)
    assert route.run() == "success"
    assert seen["files"] == 2
    assert len(seen["values"]) == 2
    assert all(str(FOLDER) in value and len(value) < 500 for value in seen["values"])


def test_no_file_outlives_its_run(route, tenant, receiver):
    spread(tenant)
    assert route.run() == "success"
    assert files() == []
    tenant.add_many(100)
    receiver.behave = lambda _post: 401
    assert route.run() == "failed"
    assert files() == []


def test_a_file_that_is_gone_fails_the_run_with_a_clear_error_and_the_next_run_delivers_the_rest_once(
    route,
    tenant,
    receiver,
    caplog,
    capsys,
):
    """The second of two batches is lost while the first is delivered."""

    def behave(_post):
        if len(receiver.posts) == 1:
            named = "select value from xcom where dag_id = :dag and task_id = 'filter' and key = 'batch_00001'"
            [(value,)] = route.rows(named, dag=route.name)
            next(path for path in files("filter") if path.name in str(value)).unlink()
        return 200

    receiver.behave = behave
    spread(tenant, 3_000)
    assert route.run() == "failed"
    assert "is no longer in XCom: batches are removed when their run ends" in caplog.text + capsys.readouterr().out
    assert route.states["deliver"] == "failed"
    assert 0 < len(receiver.accepted) < len(wanted(tenant))
    assert files() == []
    assert route.run() == "success"
    assert sorted(receiver.accepted) == sorted(wanted(tenant))
    assert receiver.repeats == 0


def test_a_folder_emptied_by_hand_hurts_no_later_run(route, tenant, receiver):
    """Also when nothing was delivered yet: what the lost files held is read again from the tenant."""
    spread(tenant)
    receiver.behave = lambda _post: 503
    removed = []

    def behave(_post):
        removed.extend(path.unlink() or path for path in files())
        return 401

    receiver.behave = behave
    assert route.run() == "failed"
    assert removed
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == sorted(wanted(tenant))
    assert files() == []
