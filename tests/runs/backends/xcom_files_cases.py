"""What test_xcom_files.py runs in a process of its own, with XCom above 4 kB in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from airflow.models.dag import DagModel, DagTag
from airflow.utils.session import create_session

from tests.support.api_server import SETTINGS, ApiServer
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
    monkeypatch,
):
    """The second of two batches is lost while the first is delivered, in a run whose batches are too many to be kept."""
    monkeypatch.setattr("auth0_webhooks.state.xcom_batches.KEPT", 0)

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


@pytest.fixture
def page(airflow_home, monkeypatch):
    """Gives what the page shows of a route."""
    for key, value in SETTINGS.items():
        monkeypatch.setenv(key, value)

    def shown(dag_id):
        answer = ApiServer(airflow_home).client("admin").get(f"/tenant-logs/api/routes/{dag_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return shown


@pytest.mark.parametrize("count", [3, 70], ids=["in the database", "in a file"])
def test_the_page_shows_what_a_run_listed_and_reported(route, tenant, receiver, tmp_path, monkeypatch, page, count):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(tmp_path)}
    tenant.log_token_requests = False
    bad = {tenant.add(kind) for _ in range(count) for kind in ("s", "fp")} - {id_ for id_, kind, _ in tenant.log() if kind == "s"}
    receiver.behave = lambda post: 422 if post.log_id in bad else 200
    assert route.run() == "success"
    state, report = route.run_dead_letters(route=route.name)
    assert (state, report[route.name]["left"]) == ("success", count)
    assert bool(files("dead_letters")) == (count == 70)
    # As Airflow's own parts write them, when a real scheduler is at work.
    with create_session() as session:
        session.get(DagModel, route.name).tags = [DagTag(name="tenant:auth0_default", dag_id=route.name)]
    letters = page(route.name)["dead_letters"]
    assert letters["waiting"] == count
    assert {letter["log_id"] for letter in letters["letters"]} == bad
    # A file that is gone is no listing, and takes nothing else of the page with it.
    for path in files("dead_letters"):
        path.unlink()
    assert page(route.name)["dead_letters"]["waiting"] == (3 if count == 3 else 0)
    assert page(route.name)["runs"][0]["ledger"]["dead_lettered"] == count
    for path in files():  # a long report stays for as long as its run does
        path.unlink()
