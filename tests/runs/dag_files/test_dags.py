"""The DAG files as Airflow's DAG processor sees them."""

from __future__ import annotations

import builtins
import os
import shutil
import socket
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import AssetOrTimeSchedule, CronDataIntervalTimetable
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from auth0_webhooks.operators.base import PARAMS, SELECTING
from auth0_webhooks.route_dag import build_dag
from auth0_webhooks.settings.route import Route
from tests.conftest import PROJECT


@pytest.fixture
def folder(tmp_path):
    """A copy of the DAG folder."""
    return Path(shutil.copytree(PROJECT / "dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__")))


def load(folder):
    return DagBag(dag_folder=str(folder), bundle_path=folder)


def test_the_shipped_routes_load_without_an_import_error(folder):
    bag = load(folder)
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "auth0_log_webhooks",
        "auth0_webhook_dead_letters",
        "auth0_webhook_audit",
        "management_api_example",
    }
    assert bag.dags["auth0_webhook_audit"].is_paused_upon_creation
    assert bag.dags["management_api_example"].is_paused_upon_creation


def test_a_route_is_fetch_then_filter_then_deliver(folder):
    dag = load(folder).dags["auth0_log_webhooks"]
    assert [task.task_id for task in dag.topological_sort()] == ["fetch", "filter", "deliver"]
    assert dag.get_task("fetch").downstream_task_ids == {"filter"}
    assert dag.get_task("filter").downstream_task_ids == {"deliver"}
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert all(task.retries == 3 and task.max_retry_delay == timedelta(seconds=120) for task in dag.tasks)
    assert not any(task.depends_on_past for task in dag.tasks)


def test_the_timetable_gives_data_intervals_in_utc():
    dag = build_dag(Route(name="r", schedule="*/15 * * * *"))
    assert isinstance(dag.timetable, AssetOrTimeSchedule)
    assert isinstance(dag.timetable.timetable, CronDataIntervalTimetable)
    server_side = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    assert server_side.periodic
    interval = server_side.infer_manual_data_interval(run_after=pendulum.datetime(2026, 11, 22, 10, 20))
    assert interval.end - interval.start == timedelta(minutes=15)


def watches(dag):
    return [watcher.trigger for watcher in dag.timetable.asset_condition.objects[0].watchers]


def test_routes_that_watch_one_tenant_at_one_pace_share_their_watch_and_others_do_not():
    routes = [
        Route(name="a"),
        Route(name="b", log_types=["f"]),
        Route(name="c", watch=10),
        Route(name="d", auth0_conn_id="auth0_eu"),
    ]
    (a,), (b,), (c,), (d,) = (watches(build_dag(route, routes)) for route in routes)
    assert a.shared_stream_key() == b.shared_stream_key()
    assert len({trigger.shared_stream_key() for trigger in (a, c, d)}) == 3
    assert b.serialize()[1]["checkpoints"] == ["a_checkpoint", "b_checkpoint"]
    assert b.serialize()[1]["log_types"] == ["f"]


def test_a_route_whose_watch_is_off_has_none_and_can_still_drain():
    dag = build_dag(Route(name="a", watch=False))
    assert watches(dag) == []
    assert dag.timetable.asset_condition.objects[0].name == "a_new_events"


def test_a_broken_route_is_one_import_error_and_the_others_stay(folder):
    (folder / "webhook_routes.yaml").write_text("routes:\n  good: {}\n  broken:\n    log_level: loud\n", encoding="utf-8")
    bag = load(folder)
    assert set(bag.dags) - {"management_api_example"} == {"good", "auth0_webhook_dead_letters", "auth0_webhook_audit"}
    assert [Path(path).name for path in bag.import_errors] == ["webhook_routes_errors.py"]
    (error,) = bag.import_errors.values()
    assert "webhook_routes.yaml:4: route 'broken': key 'log_level': expected 0 to 4 or one of debug" in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "webhook_routes.yaml: there is no such file in"),
        (b"", "webhook_routes.yaml: the file is empty: expected the key 'routes' with one entry per route"),
        ("folder", "webhook_routes.yaml: this is a folder: name the route file in it"),
        (
            "routes: {a: {where: é}}".encode("latin-1"),
            "webhook_routes.yaml:1: not UTF-8 (byte 0xe9): save the file in the encoding",
        ),
        (b"#" * 10_000_000, "webhook_routes.yaml: this is no route file, or too large for one: it has 10.0 MB, and the limit is"),
    ],
    ids=["missing", "empty", "folder", "latin1", "10 MB"],
)
def test_the_import_error_names_a_route_file_that_cannot_be_read_and_says_what_to_do(folder, content, message):
    file = folder / "webhook_routes.yaml"
    file.unlink()
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    errors = {Path(path).name: error for path, error in load(folder).import_errors.items()}
    assert message in errors["webhook_routes_errors.py"]


def test_loading_the_dags_opens_no_connection_and_reads_no_variable(folder, monkeypatch):
    def forbidden(*_arguments, **_keywords):
        raise AssertionError("the DAG file opens a connection")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr("airflow.sdk.Variable.get", forbidden)
    opened = []
    original = builtins.open

    def recording(file, *arguments, **keywords):
        opened.append(str(file))
        return original(file, *arguments, **keywords)

    monkeypatch.setattr(builtins, "open", recording)
    assert load(folder).import_errors == {}
    # Airflow itself looks at each file of the folder, the schema too, to find out whether it is a zip file.
    read = [path for path in opened if path.endswith((".json", ".db", ".cfg"))]
    assert not [path for path in read if not path.endswith(("log_types.json", "webhook_routes.schema.json"))]


def test_the_form_explains_every_param_and_null_means_as_the_route_says():
    dag = build_dag(Route(name="r", log_level=3, log_types=["f", "fp"], concurrent_calls=2))
    params = dict(dag.params.items())
    assert tuple(params) == PARAMS
    for name, param in params.items():
        assert param.value is (False if name == "dry_run" else None)
        assert param.schema["title"]
        assert param.schema["description_md"]
    assert "limit_wc" in params["log_types"].schema["examples"]
    assert "(error)" in params["log_level"].schema["description_md"]
    warned = {name for name, param in params.items() if "such a live run is refused" in param.schema["description_md"]}
    assert warned == set(SELECTING)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("log_level", ["error", 3, None], ["loud", 7, -1]),
        ("log_types", [["f"], ["not_yet_known"], None], ["f", [1]]),
        ("other_log_types", ["a, b", None], [["a"], 5]),
        ("concurrent_calls", [1, 100, None], [0, -3, 101, "five"]),
        ("where", ["type == 'f'", None], [5, ["type == 'f'"]]),
        ("since", ["2026-11-22T10:00:00.000Z", None], [20261122, ["2026-11-22"]]),
        ("dry_run", [True, False], ["true", 1, None]),
    ],
)
def test_a_param_that_does_not_fit_is_refused_by_the_form(key, good, bad):
    for value in good:
        params = build_dag(Route(name="r")).params
        params[key] = value
    for value in bad:
        params = build_dag(Route(name="r")).params
        with pytest.raises(ParamValidationError):
            params[key] = value


def test_the_dag_tells_an_operator_what_it_watches_and_how_to_rewind():
    dag = build_dag(Route(name="night_watch", auth0_conn_id="auth0_eu", webhook_conn_id="pager", log_types=["limit_wc"]))
    for part in (
        "auth0_eu", "pager", "limit_wc", "night_watch_checkpoint", "Rewind", "Pause", "airflow variables set", "Replay",
        "Backfill",
        "airflow backfill create --dag-id night_watch", '{"since": "2026', "8,640",
    ):  # fmt: skip
        assert part in dag.doc_md
    assert dag.dag_display_name == "Night watch"
    assert dag.tags == {"auth0", "webhook", "tenant:auth0_eu"}
    assert all(task.doc_md and task.task_display_name for task in dag.tasks)


def test_the_library_is_not_executed_as_plugins():
    ignored = (PROJECT / "plugins" / ".airflowignore").read_text(encoding="utf-8").split("\n")
    folders = [path.name for path in (PROJECT / "plugins").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)] == []
    assert os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"].endswith("plugins")
