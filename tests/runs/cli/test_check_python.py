"""``check`` and ``show`` of routes that are written in Python."""

from __future__ import annotations

import sys

import pytest

from auth0_webhooks.cli.commands import main

pytestmark = pytest.mark.airflow

HEAD = "from airflow.sdk import DAG\nfrom auth0_webhooks import Route, build_dag, build_dags, route_schedule, route_tasks\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """What a command says of a DAG file with this text: its status, and its lines of both kinds."""
    monkeypatch.chdir(tmp_path)

    def run(command, text, name="routes.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        status = main([command, name])
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return run


def test_the_routes_of_a_dag_file_are_shown(run):
    text = f"{HEAD}one = build_dag(Route(name='a', log_types=['limit_wc']))\ntwo = build_dag(Route(name='b'))\n"
    status, shown, errors = run("show", text)
    assert (status, errors) == (0, [])
    assert [line for line in shown if line and line[0] != " "] == ["a (routes.py)", "b (routes.py)"]
    assert "  Sends events of these log types: limit_wc (Blocked Account)." in shown
    assert run("check", text) == (0, ["2 routes in 1 file: no mistakes"], [])


def test_the_routes_of_build_dags_are_shown_whether_they_are_python_or_yaml(run, tmp_path):
    (tmp_path / "routes.yaml").write_text("routes:\n  b: {webhook_conn_id: siem}\n  c: {}\n", encoding="utf-8")
    text = f"{HEAD}globals().update(build_dags([Route(name='a')]))\nglobals().update(build_dags('routes.yaml'))\n"
    status, shown, errors = run("show", text)
    assert (status, errors) == (0, [])
    assert [line for line in shown if line and line[0] != " "] == ["a (routes.py)", "b (routes.py)", "c (routes.py)"]


def test_a_route_in_a_larger_dag_that_has_no_name_in_the_file_is_shown(run):
    text = (
        f"{HEAD}route = Route(name='a', webhook_conn_id='siem')\n"
        "with DAG('a', schedule=route_schedule(route), max_active_runs=1, catchup=False):\n    route_tasks(route)\n"
    )
    shown = run("show", text)[1]
    assert shown[0] == "a (routes.py)"
    assert any("POSTs to the webhook in connection 'siem'" in line for line in shown)


def test_what_a_dag_lacks_for_a_route_is_named_with_its_line(run):
    status, found, _ = run("check", f"{HEAD}\nwith DAG('a', schedule=None):\n    route_tasks(Route(name='a'))\n")
    assert status == 1
    assert found[0].startswith("routes.py:5: SettingError: DAG 'a' lacks what task 'route.fetch' of route 'a' needs: ")


def test_every_mistake_of_a_route_in_python_is_named_with_the_line_of_the_call(run):
    status, found, _ = run("check", f"{HEAD}\nroute = Route(\n    name='a', log_tyeps=['f'], payload='evnt')\n")
    assert status == 1
    assert [line.partition(": expected one of")[0] for line in found] == [
        "routes.py:4: key 'payload': input should be 'event', 'array' or 'lines' (did you mean 'event'?), got 'evnt'",
        "routes.py:4: unknown key 'log_tyeps' (did you mean 'log_types'?)",
        "0 routes in 1 file: 2 mistakes",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# airflow dag\nx = 1 +\n", "routes.py:2: SyntaxError: invalid syntax"),
        ("# airflow dag\n\nimport nothing_of_this_name\n", "routes.py:3: ModuleNotFoundError: No module named"),
        ("# airflow dag\nraise SystemExit('no')\n", "routes.py:2: SystemExit: no"),
    ],
)
def test_a_file_that_cannot_be_run_is_a_mistake_with_its_line(run, text, message):
    status, found, _ = run("check", text)
    assert status == 1
    assert found[0].startswith(message)


def test_a_file_that_airflow_would_ignore_is_noted(run):
    status, found, _ = run("check", "x = 1\n")
    assert (status, [line.partition(", because")[0] for line in found]) == (
        0,
        [
            "routes.py: note: Airflow ignores this file",
            "routes.py: note: no DAG of this file is a route",
            "0 routes in 1 file: no mistakes",
        ],
    )
    assert main(["check", "missing.py"]) == 1


def test_a_file_finds_modules_beside_it_and_leaves_nothing_behind(run, tmp_path):
    (tmp_path / "our_routes_beside.py").write_text("NAMES = ['a', 'b']\n", encoding="utf-8")
    before, text = (
        list(sys.path),
        f"{HEAD}from our_routes_beside import NAMES\nfor n in NAMES: globals()[n] = build_dag(Route(name=n))\n",
    )
    assert run("check", text)[1] == ["2 routes in 1 file: no mistakes"]
    assert sys.path == before
    sys.modules.pop("our_routes_beside")


def test_a_name_in_python_and_in_yaml_is_a_mistake(run, tmp_path, capsys):
    (tmp_path / "one.yaml").write_text("routes:\n  a: {}\n", encoding="utf-8")
    run("check", f"{HEAD}a = build_dag(Route(name='a'))\n")
    assert main(["check", "one.yaml", "routes.py"]) == 1
    assert capsys.readouterr().out.startswith("routes.py: route 'a': the same name is in one.yaml:2: expected another one")
