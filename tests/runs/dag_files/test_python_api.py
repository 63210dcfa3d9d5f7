"""Routes in DAG files of one's own: written in Python, from route files elsewhere, and as tasks of a larger DAG."""

from __future__ import annotations

import textwrap
from datetime import datetime, timedelta, timezone

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, task_group
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID

from auth0_webhooks import Route, SettingError, build_dags, build_dead_letter_dag, route_schedule, route_tasks
from auth0_webhooks.operators.deliver import DeliverOperator
from auth0_webhooks.settings import routes_file
from simulation.tenant import CLIENT_ID, CLIENT_SECRET
from tests.conftest import set_connection
from tests.support.runner import Runner, unpacked, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home")]

FIVE_LINES = """
from airflow.sdk import DAG  # Airflow reads only files that mention airflow and dag
from auth0_webhooks import Route, build_dags
globals().update(build_dags([Route(name="{name}", log_types=["limit_wc"], webhook_conn_id="pager")]))
"""


class Folder:
    """A DAG folder of a test's own, which Airflow reads as its DAG processor does."""

    def __init__(self, path, home):
        self.path, self.home = path, home

    def write(self, name, text):
        (self.path / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def bag(self):
        return DagBag(dag_folder=str(self.path), bundle_path=self.path, bundle_name="dags-folder")

    def store(self):
        """Store what was read in the database; returns the bag."""
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import sync_bag_to_db

        DagBundlesManager().sync_bundles_to_db()
        bag = self.bag()
        sync_bag_to_db(bag, "dags-folder", None)
        return bag

    def run(self, dag_id, **conf):
        bag = self.store()
        assert bag.import_errors == {}
        runner = Runner(self.home, dag_id)
        runner.last = bag.dags[dag_id].test(logical_date=None, run_conf=conf or None)
        return runner


@pytest.fixture
def folder(tmp_path, airflow_home):
    return Folder(tmp_path, airflow_home)


@pytest.fixture
def pager(connections, tenant, receiver, monkeypatch):
    set_connection(monkeypatch, "auth0_default", host=tenant.url, login=CLIENT_ID, password=CLIENT_SECRET)
    set_connection(monkeypatch, "pager", host=receiver.url)


def reports(runner, task):
    return unpacked(runner.xcoms()[task, "report"])


@pytest.mark.usefixtures("pager")
def test_five_lines_are_a_running_route(folder, tenant, receiver):
    folder.write("blocked.py", FIVE_LINES.format(name="five_lines"))
    tenant.add_many(20, types={"limit_wc": 1, "s": 2})
    runner = folder.run("five_lines")
    assert str(runner.last.state) == "success"
    assert sorted(receiver.accepted) == [log_id for log_id, kind, _ in tenant.log() if kind == "limit_wc"] != []


def test_a_relative_path_counts_from_the_dag_file(folder):
    folder.write("routes.yaml", "routes:\n  near: {}\n  also: {}\n")
    folder.write(
        "routes.py", 'from auth0_webhooks import build_dags  # airflow dag\nglobals().update(build_dags("routes.yaml"))\n'
    )
    bag = folder.bag()
    assert (bag.import_errors, set(bag.dags)) == ({}, {"near", "also"})


def test_good_routes_of_a_file_stay_and_another_dag_file_shows_what_is_broken(folder):
    folder.write("routes.yaml", "routes:\n  good: {}\n  bad: {log_level: loud}\n")
    folder.write(
        "routes.py", 'from auth0_webhooks import build_dags  # airflow dag\nglobals().update(build_dags("routes.yaml"))\n'
    )
    folder.write("errors.py", 'from auth0_webhooks import check_routes  # airflow dag\ncheck_routes("routes.yaml")\n')
    bag = folder.bag()
    assert (set(bag.dags), set(bag.import_errors)) == ({"good"}, {"errors.py"})
    assert "routes.yaml:3: route 'bad': key 'log_level': expected 0 to 4" in bag.import_errors["errors.py"]


def test_a_broken_route_in_python_stops_its_own_file_only(folder):
    folder.write("good.py", FIVE_LINES.format(name="good"))
    folder.write("bad.py", FIVE_LINES.format(name="bad").replace("limit_wc", 'limit_wc", 5, "'))
    bag = folder.bag()
    assert (set(bag.dags), set(bag.import_errors)) == ({"good"}, {"bad.py"})
    assert "log_types" in bag.import_errors["bad.py"]


def test_a_file_without_a_good_route_is_an_import_error_that_names_it(folder):
    folder.write("routes.py", 'from auth0_webhooks import build_dags  # airflow dag\nglobals().update(build_dags("typo.yaml"))\n')
    assert "typo.yaml: there is no such file in" in folder.bag().import_errors["routes.py"]


def test_two_routes_of_one_name_are_an_error_that_names_it():
    with pytest.raises(SettingError, match="two routes are named 'a'"):
        build_dags([Route(name="a"), Route(name="b"), Route(name="a", watch=None)])


def test_something_else_than_a_route_is_an_error_that_names_it():
    with pytest.raises(SettingError, match="got dict among them"):
        build_dags([Route(name="a"), {"name": "b"}])


def test_a_task_builds_its_own_dag_only_with_the_watch_it_shares(monkeypatch):
    routes = [Route(name="a"), Route(name="b"), Route(name="c")]
    # Not by Airflow's context manager: it leaves the variable set, also for the tests that follow.
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "b")
    built = build_dags(routes)
    assert list(built) == ["b"]
    assert len(watch(built["b"]).serialize()[1]["checkpoints"]) == 3
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "somebody_elses")
    assert list(build_dags(routes)) == ["a", "b", "c"]


def test_a_task_reads_no_other_route_of_its_file(tmp_path, monkeypatch):
    validated = []
    monkeypatch.setattr(routes_file, "Route", lambda **settings: validated.append(settings["name"]) or Route(**settings))
    file = tmp_path / "routes.yaml"
    file.write_text("routes: {a: {gzip: true}, b: {}, c: {watch: often}}\n", encoding="utf-8")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "a")
    assert list(build_dags(file)) == ["a"]
    assert validated == ["a"]


@pytest.mark.parametrize("dag_id", ["somebody_elses", "c"], ids=["another DAG", "a broken route"])
def test_for_a_task_of_no_good_route_the_others_are_built(tmp_path, monkeypatch, dag_id):
    file = tmp_path / "routes.yaml"
    file.write_text("routes: {a: {gzip: true}, b: {}, c: {watch: often}}\n", encoding="utf-8")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, dag_id)
    assert list(build_dags(file)) == ["a", "b"]


def watch(dag):
    return dag.timetable.asset_condition.objects[0].watchers[0].trigger


def test_routes_of_several_files_share_one_watch():
    one, other = build_dags([Route(name="a")])["a"], build_dags([Route(name="b", log_types=["f"])])["b"]
    assert watch(one).shared_stream_key() == watch(other).shared_stream_key()


def test_the_page_knows_the_settings_of_routes_of_every_file(folder):
    from airflow.utils.session import create_session

    from auth0_webhooks.page import stored

    folder.write("one.py", FIVE_LINES.format(name="page_python"))
    folder.write("routes.yaml", "routes:\n  page_yaml: {retention_days: 5}\n")
    folder.write("two.py", 'from auth0_webhooks import build_dags  # airflow dag\nglobals().update(build_dags("routes.yaml"))\n')
    folder.store()
    with create_session() as session:
        rows = [stored.find_route(session, name) for name in ("page_python", "page_yaml")]
        assert [found.settings for found in stored.stored(session, rows)] == [
            Route(name="page_python", log_types=["limit_wc"], webhook_conn_id="pager"),
            Route(name="page_yaml", retention_days=5),
        ]


LETTERS = """
from airflow.sdk import DAG
from auth0_webhooks import Route, build_dags
globals().update(build_dags([Route(name="{name}", webhook_conn_id="pager", on_reject="dead_letter", dead_letter_path="{path}")]))
"""


@pytest.mark.usefixtures("pager")
def test_one_dag_sends_the_dead_letters_of_the_routes_of_every_file(folder, tenant, receiver, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    folder.write("letters.py", LETTERS.format(name="letters_python", path=folder.path / "letters"))
    folder.write("dead.py", "from auth0_webhooks import build_dead_letter_dag  # airflow\ndag = build_dead_letter_dag()\n")
    folder.store()
    tenant.add_many(8)
    receiver.behave = lambda _post: 422
    assert str(folder.run("letters_python").last.state) == "success"
    receiver.behave = lambda _post: 200
    found = reports(folder.run("auth0_webhook_dead_letters"), "dead_letters")
    assert found["letters_python"]["left"] == len(wanted(tenant))
    sent = reports(folder.run("auth0_webhook_dead_letters", route="letters_python", send=True), "dead_letters")
    assert list(sent) == ["letters_python"]
    assert (sent["letters_python"]["sent"], sent["letters_python"]["left"]) == (len(wanted(tenant)), 0)


@pytest.mark.usefixtures("pager")
def test_a_route_that_nobody_knows_is_an_error_that_names_those_that_are_there(folder, logged):
    folder.write("dead.py", "from auth0_webhooks import *  # airflow dag\ndag = build_dead_letter_dag([Route(name='mine')])\n")
    assert str(folder.run("auth0_webhook_dead_letters", route="nobodys").last.state) == "failed"
    (said,) = [line for line in logged().splitlines() if line.startswith("auth0_webhooks.errors.SettingError: param")]
    assert "there is no route 'nobodys'; there are " in said
    assert "mine" in said


OWN_DAG = """
from airflow.sdk import DAG, Param, task
from auth0_webhooks import Route, route_schedule, route_tasks

route = Route(name="own_dag", webhook_conn_id="pager")
noted = []

with DAG(
    "own_dag", schedule=route_schedule(route), max_active_runs=1, catchup=False, params={"greeting": Param("", type="string")},
    default_args={"retries": 0, "do_xcom_push": False},
):
    @task
    def before():
        pass

    @task(trigger_rule="all_done", do_xcom_push=True)
    def after(ti=None):
        return ti.xcom_pull(task_ids="to_pager.deliver", key="report")["delivered_now"]

    before() >> route_tasks(route, group_id="to_pager") >> after()
"""


@pytest.mark.usefixtures("pager")
def test_the_tasks_of_a_route_run_in_a_dag_of_ones_own(folder, tenant, receiver):
    from airflow.utils.session import create_session

    from auth0_webhooks.page import stored

    folder.write("own.py", OWN_DAG)
    folder.store()
    tenant.add_many(30)
    runner = folder.run("own_dag", greeting="hello")
    assert str(runner.last.state) == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert unpacked(runner.xcoms()["after", "return_value"]) == len(wanted(tenant))
    assert not [key for _, key in runner.xcoms() if key.startswith("batch_")]
    assert runner.checkpoint.position.log_id == tenant.log()[-1][0]
    with create_session() as session:
        (found,) = stored.stored(session, [stored.find_route(session, "own_dag")])
        assert found.runs[0].report["delivered_now"] == len(wanted(tenant))
        assert len(stored.reports_since(session, "own_dag", datetime.now(timezone.utc) - timedelta(days=1), 10)) == 1
    tenant.add_many(3)
    assert reports(folder.run("own_dag", dry_run=True), "to_pager.deliver")["dry_run"] is True


def test_a_failure_in_a_dag_of_ones_own_removes_the_batches_and_calls_its_callbacks(folder, pager, tenant, receiver):
    called = folder.path / "called"
    text = OWN_DAG.replace('"retries": 0', f'"on_failure_callback": lambda context: open({str(called)!r}, "a").write("x")')
    folder.write("own.py", text.replace('"own_dag"', '"own_failing"'))
    tenant.add_many(5)
    receiver.behave = lambda _post: 401
    runner = folder.run("own_failing")
    assert runner.states["to_pager.deliver"] == "failed"
    assert called.read_text() == "x"
    assert not [key for _, key in runner.xcoms() if key.startswith("batch_")]


START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def by_assets(condition):
    return AssetOrTimeSchedule(timetable=CronDataIntervalTimetable("*/5 * * * *", timezone="UTC"), assets=condition)


def own_dag(route, **settings):
    return DAG(
        **{
            "dag_id": "r",
            "schedule": route_schedule(route),
            "max_active_runs": 1,
            "catchup": False,
            "start_date": START,
            **settings,
        }
    )


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({"dag_id": "other"}, "the id 'r'"),
        ({"schedule": None}, "data intervals by the route's schedule"),
        ({"schedule": "*/5 * * * *"}, "data intervals by the route's schedule"),
        ({"schedule": CronDataIntervalTimetable("*/5 * * * *", timezone="UTC")}, "the asset 'r_new_events'"),
        ({"schedule": CronDataIntervalTimetable("0 * * * *", timezone="UTC")}, r"data intervals .* '\*/5"),
        ({"schedule": by_assets(Asset("r_new_events"))}, "the asset 'r_new_events' of route_schedule"),
        ({"schedule": by_assets(Asset("a") & route_schedule(Route(name="r")).asset_condition)}, "the asset 'r_new_events'"),
        ({"max_active_runs": 16}, "max_active_runs=1"),
        ({"catchup": True}, "catchup=False"),
        ({"max_active_runs": 16, "catchup": True}, "max_active_runs=1.*; catchup=False"),
    ],
)
def test_what_a_dag_lacks_is_an_error_that_names_it(settings, lacking):
    route = Route(name="r")
    with own_dag(route, **settings), pytest.raises(SettingError, match=f"(?s)DAG .* lacks .*{lacking}"):
        route_tasks(route)


def test_a_schedule_by_more_assets_is_good_if_the_routes_alone_starts_a_run():
    route = Route(name="r")
    with own_dag(route, schedule=by_assets(Asset("another") | route_schedule(route).asset_condition)) as dag:
        route_tasks(route)
    assert {task.task_id for task in dag.tasks} == {"route.fetch", "route.filter", "route.deliver"}


def test_retries_and_callbacks_come_with_the_tasks_and_a_single_task_without_them_is_an_error():
    route = Route(name="r")
    with own_dag(route, default_args={"retries": 0, "on_failure_callback": print}) as dag:
        route_tasks(route)
    assert all((task.retries, print in task.on_failure_callback) == (3, True) for task in dag.tasks)
    with own_dag(route), pytest.raises(SettingError, match="(?s)retries, by the policy.*callbacks, which remove"):
        DeliverOperator(task_id="x", route=route)


def test_tasks_in_a_mapped_group_are_an_error():
    route = Route(name="r")

    @task_group
    def mapped(_number):
        route_tasks(route)

    with own_dag(route), pytest.raises(SettingError, match="is in a task group that is mapped"):
        mapped.expand(_number=[1, 2])


def test_a_second_route_in_a_dag_is_an_error():
    route = Route(name="r")
    with own_dag(route):
        route_tasks(route)
        with pytest.raises(SettingError, match="already has the tasks of route 'r'"):
            route_tasks(route, group_id="again")


def test_default_args_cannot_let_a_task_run_after_one_that_failed():
    route = Route(name="r")
    with own_dag(route, default_args={"trigger_rule": "all_done", "depends_on_past": True, "wait_for_downstream": True}) as dag:
        route_tasks(route)
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules == {"route.fetch": "all_done", "route.filter": "all_success", "route.deliver": "all_success"}
    assert not any(task.depends_on_past or task.wait_for_downstream for task in dag.tasks)


def test_without_a_dag_around_it_the_error_says_what_to_do():
    with pytest.raises(SettingError, match="call it inside 'with DAG"):
        route_tasks(Route(name="r"))


def test_a_param_of_ones_own_by_the_name_of_a_routes_is_an_error_that_names_it():
    route = Route(name="r")
    with own_dag(route, params={"since": ""}), pytest.raises(SettingError, match="params of its own .*: since"):
        route_tasks(route)


def test_the_dead_letters_form_proposes_routes_and_takes_those_of_other_files():
    route = build_dead_letter_dag([Route(name="a")]).params.get_param("route")
    assert route.schema["examples"] == ["a"]
    assert route.resolve("of_another_file") == "of_another_file"
