"""Whole runs on a real Airflow database, tasks in this process, tenant and webhook over real HTTP."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from sqlalchemy import text

from auth0_webhooks import delivery as delivery_module
from auth0_webhooks import route_dag
from auth0_webhooks import tenant as tenant_module
from auth0_webhooks import window as window_module
from auth0_webhooks.checkpoint import iso, parse_checkpoint
from demo.receiver import Receiver
from tests.conftest import set_connection

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]


class Runner:
    """Runs a route's DAG and looks at what Airflow stored."""

    def __init__(self, home, name):
        self.home, self.name = home, name
        self.settings = {}

    def run(self, *, logical_date=None, **conf):
        folder = self.home / "dags"
        (folder / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": {self.name: self.settings}}), encoding="utf-8")
        bag = DagBag(dag_folder=str(folder), bundle_path=folder)
        assert bag.import_errors == {}
        self.last = bag.dags[self.name].test(logical_date=logical_date, run_conf=conf or None)
        return str(self.last.state)

    def run_dead_letters(self, **conf):
        """Run the DAG of the dead letters; returns its state and its report."""
        folder = self.home / "dags"
        dag = DagBag(dag_folder=str(folder), bundle_path=folder).dags["auth0_webhook_dead_letters"]
        run = dag.test(logical_date=None, run_conf=conf)
        ((report,),) = self.rows("select value from xcom where run_id = :run and key = 'report'", run=run.run_id)
        return str(run.state), unpacked(report)

    def rows(self, query, **values):
        from airflow.utils.session import create_session

        with create_session() as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def xcoms(self):
        query = "select task_id, key, value from xcom where dag_id = :dag and run_id = :run"
        return {(task, key): value for task, key, value in self.rows(query, dag=self.name, run=self.last.run_id)}

    @property
    def report(self):
        return unpacked(self.xcoms()["deliver", "report"])

    @property
    def states(self):
        return dict(
            self.rows(
                "select task_id, state from task_instance where run_id = :run and dag_id = :dag",
                run=self.last.run_id,
                dag=self.name,
            )
        )

    @property
    def stored_checkpoint(self):
        from airflow.models import Variable

        return Variable.get(f"{self.name}_checkpoint", default_var=None)

    @property
    def checkpoint(self):
        return self.stored_checkpoint and parse_checkpoint(self.stored_checkpoint, key="k")

    def set_checkpoint(self, value):
        from airflow.models import Variable

        Variable.set(f"{self.name}_checkpoint", value)


def unpacked(value):
    """An XCom's value: SQLite gives its JSON as text, PostgreSQL as what it means."""
    return json.loads(value) if isinstance(value, str) else value


@pytest.fixture
def route(airflow_home, request, monkeypatch):
    monkeypatch.setattr(delivery_module, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(delivery_module, "FIRST_BACK_OFF", 0.02)
    monkeypatch.setattr(route_dag, "RETRY_DELAY", timedelta(milliseconds=100))
    monkeypatch.setattr(tenant_module, "_back_off", lambda _state: 0.01)
    from airflow.models import Variable
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(Variable).delete()
    return Runner(airflow_home, "r_" + request.node.name.removeprefix("test_").split("[")[0][:60])


@pytest.fixture
def logged(caplog, capsys):
    """Everything that was logged or printed so far."""
    return lambda: caplog.text + capsys.readouterr().out


def wanted(tenant, excluded=("sapi", "fapi")):
    return [log_id for log_id, kind, _ in tenant.log() if kind not in excluded]


def test_a_run_delivers_what_the_route_wants_and_accounts_for_every_event(route, tenant, receiver):
    tenant.add_many(300)
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert {post.log_id: post.body for post in receiver.posts} == {i: t for i, _, t in tenant.log() if i in set(wanted(tenant))}
    report = route.report
    assert (report["read"], report["delivered_now"]) == (len(tenant.log()), len(wanted(tenant)))
    assert report["unknown_types"].keys() == {"brand_new_type"}
    assert report["outcome"] == "everything wanted was delivered"
    assert route.checkpoint.position.log_id == tenant.log()[-1][0]
    assert route.checkpoint.position.seen


def test_the_next_run_sends_nothing_again_and_costs_one_request(route, tenant, receiver):
    tenant.add_many(50)
    route.run()
    posts = len(receiver.posts)
    tenant.requests.clear()
    assert route.run() == "success"
    assert len(receiver.posts) == posts
    assert tenant.requests == {"GET /api/v2/logs": 1}
    assert route.report["outcome"] == "no new events"
    tenant.add("f")
    route.run()
    assert len(receiver.posts) == posts + 1


def test_an_empty_tenant_is_a_success_and_its_first_event_is_delivered_later(route, tenant, receiver):
    tenant.log_token_requests = False
    assert route.run() == "success"
    assert route.checkpoint.position.log_id is None
    assert route.report["outcome"] == "no new events"
    tenant.add("s")
    assert route.run() == "success"
    assert receiver.accepted == wanted(tenant)


def test_a_batch_with_nothing_wanted_moves_the_checkpoint_all_the_same(route, tenant, receiver):
    route.settings = {"log_types": ["nothing_of_the_kind"]}
    tenant.add_many(150)
    assert route.run() == "success"
    assert receiver.posts == []
    assert route.checkpoint.position.log_id == tenant.log()[-1][0]
    assert route.report["outcome"] == "nothing wanted among what was read"


def test_the_params_of_a_run_lie_over_the_route(route, tenant, receiver):
    tenant.add_many(200)
    assert (
        route.run(log_level="error", log_types=["f", "fp"], other_log_types=" brand_new_type ", concurrent_calls=2) == "success"
    )
    assert set(receiver.by_type()) == {"f", "fp", "brand_new_type"}
    assert receiver.most_at_once <= 2


def test_no_batch_outlives_its_run(route, tenant, receiver):
    tenant.add_many(100)
    route.run()
    assert set(route.xcoms()) == {("fetch", "return_value"), ("filter", "return_value"), ("deliver", "report")}
    tenant.add_many(100)
    receiver.behave = lambda _post: 401
    assert route.run() == "failed"
    assert set(route.xcoms()) == {("fetch", "return_value"), ("filter", "return_value"), ("deliver", "report")}


def test_the_batches_of_a_run_that_died_are_removed_by_the_next(route, tenant, receiver, monkeypatch):
    tenant.add_many(100)
    with monkeypatch.context() as patch:
        patch.setattr(route_dag, "remove_batches", None)
        # With a date of its own: Airflow's test of a DAG removes a former run that has none.
        route.run(logical_date=datetime(2026, 11, 1, tzinfo=timezone.utc))
    died = route.last.run_id
    assert ("fetch", "batch_00000") in route.xcoms()
    route.run()
    assert route.rows("select key from xcom where run_id = :run and (key like 'batch%' or key = 'open_batches')", run=died) == []


def test_a_webhook_that_comes_back_is_sent_the_rest_by_the_retry(route, tenant, receiver):
    tenant.add_many(300)
    down = []

    def behave(post):
        if len(receiver.posts) == 100 or (down and len(down) < 12):
            down.append(post.log_id)
        return 503 if down and len(down) < 12 and post.log_id in down else 200

    receiver.behave = behave
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0
    report = route.report
    assert report["delivered_now"] + report["delivered_before"] == len(wanted(tenant))


def test_a_webhook_that_stays_away_fails_the_run_with_a_report_and_loses_nothing(route, tenant, receiver):
    tenant.add_many(100)
    order = wanted(tenant)
    receiver.behave = lambda post: 500 if post.log_id >= order[40] else 200
    assert route.run() == "failed"
    assert route.states == {"fetch": "success", "filter": "success", "deliver": "failed"}
    report = route.report
    assert report["delivered_now"] + report["delivered_before"] == 40
    assert report["not_reached"] == len(wanted(tenant)) - 40
    assert report["outcome"].startswith("failed: the webhook at http://127.0.0.1:")
    assert report["lag_seconds"] > 0
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


@pytest.mark.parametrize("answer", [401, 302, 422])
def test_what_a_person_must_mend_uses_up_no_retries(route, tenant, receiver, answer):
    tenant.add_many(20)
    receiver.behave = lambda _post: answer
    assert route.run() == "failed"
    assert route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'deliver'", run=route.last.run_id
    ) == [(1,)]


@pytest.mark.parametrize("conn_id", ["auth0_default", "webhook_default"])
def test_a_missing_connection_fails_at_once_naming_it_and_how_to_set_it(route, tenant, monkeypatch, conn_id, logged):
    tenant.add_many(5)
    monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}")
    assert route.run() == "failed"
    task_id = "fetch" if conn_id == "auth0_default" else "deliver"
    assert route.states[task_id] == "failed"
    assert route.rows("select max(try_number) from task_instance where run_id = :run", run=route.last.run_id) == [(1,)]
    shown = logged()
    assert f"connection '{conn_id}' is missing: set it under Admin > Connections or in AIRFLOW_CONN_{conn_id.upper()}" in shown


@pytest.mark.parametrize("fault", ["broken", "html", "twice", "500"])
def test_a_tenant_that_fails_for_a_while_is_read_again_from_the_checkpoint(route, tenant, receiver, fault):
    tenant.add_many(250)
    tenant.fault, tenant.faults_left = fault, 5
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


def test_a_run_stops_at_its_limit_and_the_next_goes_on(route, tenant, receiver):
    route.settings = {"max_logs_per_run": 120}
    tenant.add_many(300)
    route.run()
    assert route.report["read"] == 120
    assert route.report["stopped"] == "limit"
    assert route.report["lag_seconds"] > 0
    route.run()
    route.run()
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


def test_a_rewound_checkpoint_sends_again_from_there_with_the_same_webhook_id(route, tenant, receiver):
    tenant.add_many(60)
    route.run()
    route.set_checkpoint(wanted(tenant)[-11])
    assert route.run() == "success"
    assert sorted(receiver.accepted[-10:]) == wanted(tenant)[-10:]
    assert receiver.repeats == 10
    assert receiver.problems == []


def test_a_checkpoint_that_cannot_be_read_stops_the_run_and_says_what_to_write(route, tenant, receiver, logged):
    tenant.add_many(5)
    route.set_checkpoint("last tuesday")
    assert route.run() == "failed"
    assert receiver.posts == []
    assert "is not a checkpoint" in logged()


def test_an_environment_variable_that_hides_the_checkpoint_is_refused(route, tenant, receiver, monkeypatch):
    tenant.add_many(5)
    monkeypatch.setenv(f"AIRFLOW_VAR_{route.name.upper()}_CHECKPOINT", "x")
    assert route.run() == "failed"
    assert receiver.posts == []


def test_the_token_is_kept_encrypted_and_no_secret_is_logged(route, tenant, receiver, logged):
    tenant.add_many(30)
    route.run()
    ((stored,),) = route.rows("select val from variable where key = 'auth0_default_token'")
    (token,) = tenant._tokens
    assert token not in stored
    shown = logged()
    assert token not in shown
    assert "demo-client-secret" not in shown
    assert "user_name" not in shown


def test_an_unknown_log_type_is_warned_about_and_honoured(route, tenant, receiver, logged):
    route.settings = {"log_types": ["limt_wc"]}
    tenant.add("limt_wc")
    assert route.run() == "success"
    assert receiver.by_type() == {"limt_wc": 1}
    assert "the closest known one is 'limit_wc'" in logged()


def test_a_connection_written_as_a_uri_works(route, tenant, receiver, monkeypatch):
    tenant.add_many(3)
    monkeypatch.setenv("AIRFLOW_CONN_WEBHOOK_DEFAULT", f"{receiver.url}/hooks/auth0")
    assert route.run() == "success"
    assert {post.path for post in receiver.posts} == {"/hooks/auth0"}


def test_a_connection_without_a_host_fails_at_once(route, tenant, receiver, monkeypatch):
    tenant.add_many(3)
    set_connection(monkeypatch, "webhook_default", login="a")
    assert route.run() == "failed"
    assert route.states["deliver"] == "failed"


def test_a_route_whose_dead_letters_cannot_be_reached_keeps_no_others_back(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(tmp_path / "letters")}
    bad = tenant.add("fp")
    tenant.add("s")
    receiver.behave = lambda post: 422 if post.log_id == bad else 200
    assert route.run() == "success"
    broken = {"on_reject": "dead_letter", "dead_letter_path": "nosuch://bucket/letters"}
    routes = {"a_first_and_broken": broken, route.name: route.settings, "b_none": {"dead_letter_path": "nosuch://bucket/letters"}}
    (route.home / "dags" / "webhook_routes.yaml").write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")
    receiver.behave = lambda _post: 200
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert "no object storage can be reached by it" in report["a_first_and_broken"]["stopped_by"]
    assert report["b_none"]["stopped_by"] is None
    assert report[route.name]["sent"] == 1
    assert bad in receiver.accepted


def test_refused_events_are_set_aside_listed_and_sent_again(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {"on_reject": "dead_letter", "dead_letter_path": str(tmp_path / "letters")}
    tenant.add_many(100)
    bad = {log_id for log_id, kind, _ in tenant.log() if kind == "fp"}
    receiver.behave = lambda post: 422 if post.log_id in bad else 200
    assert route.run() == "success"
    assert route.report["dead_lettered"] == len(bad) > 0
    assert set(receiver.accepted) == set(wanted(tenant)) - bad

    state, report = route.run_dead_letters()
    assert state == "success"
    assert (report[route.name]["found"], report[route.name]["sent"], report[route.name]["left"]) == (len(bad), 0, len(bad))
    assert {letter["log_id"] for letter in report[route.name]["listed"]} == bad

    still = {min(bad)}
    receiver.behave = lambda post: 413 if post.log_id in still else 200
    state, report = route.run_dead_letters(send=True, route=route.name)
    assert state == "success"
    assert (report[route.name]["sent"], report[route.name]["refused"]) == (len(bad) - 1, 1)

    receiver.behave = lambda _post: 503
    state, report = route.run_dead_letters(send=True)
    assert state == "failed"
    assert report[route.name]["left"] == 1

    receiver.behave = lambda _post: 200
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"]) == ("success", 1)
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0
    assert route.run_dead_letters()[1][route.name]["found"] == 0


def test_a_hold_ends_the_next_runs_without_a_post_until_it_is_over_or_lifted(route, tenant, receiver):
    tenant.add_many(30)
    receiver.behave = lambda _post: (503, {"Retry-After": "600"})
    assert route.run() == "failed"
    assert route.report["outcome"].startswith("failed: the webhook at http://127.0.0.1:")
    assert "held until" in route.report["outcome"]
    posts = len(receiver.posts)
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert len(receiver.posts) == posts
    assert route.report["outcome"].startswith("held until")
    assert route.report["read"] == route.report["api_requests"] == 0
    from airflow.models import Variable

    stored = json.loads(Variable.get(f"{route.name}_checkpoint"))
    del stored["hold_until"]
    route.set_checkpoint(json.dumps(stored))
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)
    assert route.checkpoint.hold is None


@pytest.mark.parametrize(
    "odd",
    [
        '"\\u0000 in a name"',
        '"\\ud800 alone, \\udc00 too"',
        '"😀 zoë 李雷"',
        '"' + "x" * 1_000_000 + '"',
        "[" * 200 + "]" * 200,
        "[1e999, -0.0, 1.10, 123456789012345678901234567890, 0.1000000000000000055]",
        '{"b": 1, "a": 2, "b": 3}',
    ],
    ids=["NUL", "lone surrogates", "emoji", "1 MB", "deep nesting", "numbers", "key order"],
)
def test_an_event_of_any_shape_arrives_to_the_letter(route, tenant, receiver, odd):
    log_id = f"900{'1' * 53}"
    event = f'{{"log_id": "{log_id}", "date": "2026-11-22T10:00:00.000Z", "type": "s", "details": {odd}}}'
    tenant.add_text(log_id, "2026-11-22T10:00:00.000Z", "s", event)
    assert route.run() == "success"
    assert [post.body for post in receiver.posts if post.log_id == log_id] == [event]


def spread(tenant, count=300, hours=6):
    """Events over the last hours, none of a token request among them."""
    tenant.log_token_requests = False
    return tenant.add_many(count, spread=hours * 3600.0)


def hours_ago(hours):
    return iso(datetime.now(timezone.utc) - timedelta(hours=hours))


def in_window(tenant, since, until, excluded=("sapi", "fapi")):
    dated = ((json.loads(text)["date"], log_id, kind) for log_id, kind, text in tenant.log())
    return [log_id for date, log_id, kind in dated if since <= date < until and kind not in excluded]


def test_a_replay_sends_just_its_window_again_and_leaves_the_checkpoint_alone(route, tenant, receiver):
    spread(tenant)
    route.run()
    checkpoint, since, until = route.stored_checkpoint, hours_ago(4), hours_ago(2)
    receiver.posts.clear()
    assert route.run(since=since, until=until) == "success"
    assert sorted(receiver.accepted) == in_window(tenant, since, until)
    assert {post.headers["webhook-id"] for post in receiver.posts} == set(receiver.accepted)
    assert route.stored_checkpoint == checkpoint
    report = route.report
    assert (report["mode"], report["window"], report["checkpoint_after"]) == ("replay", f"{since} .. {until}", None)
    assert report["read"] == len(in_window(tenant, since, until, excluded=()))
    assert {key for _, key in route.xcoms()} == {"return_value", "report"}


def test_a_replay_needs_no_checkpoint_makes_none_and_reads_what_its_params_pick(route, tenant, receiver):
    spread(tenant)
    assert route.run(since=hours_ago(5), until=hours_ago(1), log_types=["f", "fp"]) == "success"
    assert set(receiver.by_type()) == {"f", "fp"}
    assert route.checkpoint is None
    route.run()
    assert sorted(set(receiver.accepted)) == wanted(tenant)


def test_a_replay_that_is_interrupted_goes_on_where_it_was(route, tenant, receiver, monkeypatch):
    monkeypatch.setattr(delivery_module, "FIRST_BACK_OFF", 1.0)  # longer than RETRY_SECONDS: one refusal ends the try
    spread(tenant, 2500)
    since, until, down = hours_ago(7), hours_ago(0.05), []

    def behave(post):
        if len(receiver.posts) > 1500 and not down:
            down.append(post.log_id)
            return 503
        return 200

    receiver.behave = behave
    assert route.run(since=since, until=until) == "success"
    assert sorted(receiver.accepted) == in_window(tenant, since, until)
    assert route.report["delivered_before"] > 1000
    ((tries,),) = route.rows(
        "select try_number from task_instance where run_id = :run and task_id = 'deliver'", run=route.last.run_id
    )
    assert tries > 1


def test_a_webhook_that_asks_for_a_pause_fails_a_replay_and_holds_no_live_run(route, tenant, receiver):
    spread(tenant)
    receiver.behave = lambda _post: (503, {"Retry-After": "600"})
    assert route.run(since=hours_ago(5), until=hours_ago(1)) == "failed"
    assert "clear this run after that time" in route.report["outcome"]
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert sorted(receiver.accepted) == wanted(tenant)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"until": "2026-11-22T10:00:00Z"}, "until needs since"),
        ({"since": "2026-11-22 10:00"}, "since is without a time zone"),
        ({"since": "2999-01-01T00:00:00Z"}, "is not before until"),
    ],
)
def test_a_replay_that_makes_no_sense_fails_at_once_and_says_why(route, tenant, receiver, logged, conf, message):
    spread(tenant, 10)
    assert route.run(**conf) == "failed"
    assert message in logged()
    assert route.states["fetch"] == "failed"
    assert receiver.posts == []


def test_a_window_with_too_many_events_fails_before_the_first_post(route, tenant, receiver, logged, monkeypatch):
    monkeypatch.setattr(window_module.WindowReading.__init__, "__defaults__", (200, 0, None, None))
    spread(tenant, 300)
    assert route.run(since=hours_ago(7), until=hours_ago(0.05)) == "failed"
    assert "holds more than 200 events" in logged()
    assert receiver.posts == []
    assert not [key for _, key in route.xcoms() if key.startswith("batch")]


def test_a_window_that_begins_before_the_retention_says_so_and_reads_what_is_left(route, tenant, receiver):
    spread(tenant, 50)
    route.settings = {"retention_days": 1}
    assert route.run(since=hours_ago(48), until=hours_ago(1)) == "success"
    assert "the window begins 2.0 days ago" in route.report["notes"][0]


@pytest.mark.parametrize("replay", [False, True])
def test_a_dry_run_sends_nothing_moves_nothing_and_shows_what_it_would_send(route, tenant, receiver, logged, replay):
    route.settings = {"start_from": "oldest" if replay else hours_ago(100), "log_level": "error"}
    spread(tenant)
    tenant.add("limit_wc", user_name="mallory@example.com")
    conf = {"since": hours_ago(7), "until": hours_ago(2)} if replay else {}
    assert route.run(dry_run=True, **conf) == "success"
    assert receiver.posts == []
    assert route.rows("select key from variable where key like '%checkpoint'") == []
    report = route.report
    assert report["dry_run"] is True
    assert report["not_reached"] == report["selected"] > 0
    assert report["first_selected"][1] <= report["last_selected"][1]
    assert set(report["selected_types"]) <= {"f", "fp", "fu", "limit_wc", "limit_mu", "pwd_leak", "fsa", "brand_new_type"}
    shown = logged()
    assert "dry run, nothing was sent and nothing moved" in shown
    assert "@example.com" not in shown
    assert '"user_name": "***"' in shown


def test_a_dry_run_of_a_route_that_starts_now_does_not_set_its_start(route, tenant, receiver):
    route.settings = {"start_from": "now"}
    spread(tenant, 5)
    assert route.run(dry_run=True) == "success"
    assert route.checkpoint is None


def test_params_that_airflow_does_not_apply_stop_the_run(route, tenant, receiver, monkeypatch, logged):
    spread(tenant, 5)
    monkeypatch.setenv("AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS", "False")
    assert route.run(dry_run=True) == "failed"
    assert receiver.posts == []
    assert "'dry_run' of this run's conf is not applied" in logged()


@pytest.mark.parametrize("conf", [{"dryrun": True}, {"Since": "2026-11-22T10:00:00Z"}])
def test_a_misspelt_param_stops_the_run_and_names_the_real_ones(route, tenant, receiver, logged, conf):
    spread(tenant, 5)
    assert route.run(**conf) == "failed"
    assert receiver.posts == []
    assert "in this run's conf: expected one of since, until, dry_run, log_level" in logged()


def test_the_first_run_says_where_it_starts_and_a_changed_start_says_how_to_rewind(route, tenant, receiver):
    spread(tenant, 20)
    route.settings = {"start_from": hours_ago(3)}
    assert route.run() == "success"
    assert route.report["notes"] == [
        f"first run: no checkpoint yet, reading starts at start_from: {route.settings['start_from']}"
    ]
    delivered = len(receiver.posts)
    assert delivered == len(in_window(tenant, route.settings["start_from"], hours_ago(0)))
    route.settings = {"start_from": "oldest"}
    tenant.add("s")
    assert route.run() == "success"
    (note,) = route.report["notes"]
    assert "is now oldest: that counts for the first run only" in note
    assert f"set Variable '{route.name}_checkpoint' to a date-time" in note
    assert len(receiver.posts) == delivered + 1
    route.run()
    assert route.report["notes"] == []


@pytest.mark.parametrize("refused", [True, False], ids=["400", "read like any position"])
def test_an_expired_checkpoint_is_reported_as_a_gap_once_and_delivery_goes_on(route, tenant, receiver, logged, refused):
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.add("f", when=old + timedelta(hours=1))
    tenant.expire(2)
    tenant.refuses_expired = refused
    new = tenant.add("s", when=old + timedelta(hours=2))
    assert route.run() == "success"
    assert receiver.accepted[-1] == new
    assert route.report["gap"] == f"{iso(old)} .. {iso(old + timedelta(hours=2))}"
    assert "no longer in the tenant's log" in logged()
    assert route.run() == "success"
    assert route.report["gap"] is None


def test_a_gap_in_a_log_that_is_empty_is_reported_once_and_its_next_event_is_delivered(route, tenant, receiver):
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    tenant.expire(1)
    assert route.run() == "success"
    assert route.report["gap"] is not None
    assert route.run() == "success"
    assert route.report["gap"] is None
    new = tenant.add("s")
    assert route.run() == "success"
    assert receiver.accepted[-1] == new


def test_the_last_event_of_a_quiet_tenant_may_leave_its_log_without_a_gap(route, tenant, receiver):
    route.settings = {"on_gap": "stop"}
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    place = route.checkpoint.position
    route.run()
    assert route.checkpoint.position.log_id == place.log_id
    assert route.checkpoint.position.date > place.date
    stored = route.stored_checkpoint
    route.run()
    assert route.stored_checkpoint == stored
    tenant.expire(1)
    new = tenant.add("s")
    assert route.run() == "success"
    assert route.report["gap"] is None
    assert receiver.accepted[-1] == new


def test_a_route_that_is_to_stop_at_a_gap_stops_and_moves_nothing(route, tenant, receiver, logged):
    route.settings = {"on_gap": "stop"}
    tenant.log_token_requests = False
    tenant.add("s", when=datetime.now(timezone.utc) - timedelta(days=3))
    route.run()
    stored = route.stored_checkpoint
    tenant.expire(1)
    tenant.add("s")
    assert route.run() == "failed"
    assert "delete the checkpoint's Variable, or set it to a date-time" in logged()
    report = unpacked(route.xcoms()["fetch", "report"])
    assert report["gap"].startswith(parse_checkpoint(stored, key="k").position.date)
    assert report["outcome"].startswith("failed: the checkpoint's event of")
    assert route.stored_checkpoint == stored
    assert len(receiver.posts) == 1


def test_events_that_are_about_to_expire_undelivered_are_warned_about(route, tenant, receiver, logged):
    route.settings = {"retention_days": 5, "concurrent_calls": 1}
    tenant.log_token_requests = False
    for hours in (73, 72, 71):
        tenant.add("s", when=datetime.now(timezone.utc) - timedelta(hours=hours))
    receiver.behave = lambda _post: 401 if len(receiver.posts) > 1 else 200
    assert route.run() == "failed"
    assert "events get lost in 2.0 days" in logged()
    assert "events get lost in 2.0 days" in route.report["notes"][-1]


def asset_events(route, name):
    """The extras of an asset's events, the oldest first."""
    query = "select e.extra from asset_event e join asset a on a.id = e.asset_id where a.name = :name order by e.id"
    return [unpacked(extra) for (extra,) in route.rows(query, name=name)]


def test_a_run_at_its_limit_asks_for_the_next_and_the_last_one_does_not(route, tenant, receiver):
    route.settings = {"max_logs_per_run": 120}
    spread(tenant, 300)
    route.run()
    route.run()
    assert len(asset_events(route, f"{route.name}_new_events")) == 2
    route.run()
    route.run()
    assert len(asset_events(route, f"{route.name}_new_events")) == 2
    assert sorted(receiver.accepted) == wanted(tenant)


def test_a_run_that_delivered_something_tells_other_dags_with_its_report(route, tenant, receiver):
    spread(tenant, 30)
    route.run()
    route.run()
    (extra,) = asset_events(route, f"{route.name}_delivered")
    assert extra["delivered_now"] == len(wanted(tenant))
    assert extra["run_id"].startswith("manual__")


def test_what_an_earlier_try_delivered_is_told_to_other_dags_by_the_one_that_ends_well(route, tenant, receiver):
    tenant.log_token_requests = False
    ids = [tenant.add("s") for _ in range(4)]
    stored = {"log_id": ids[0], "date": iso(datetime.now(timezone.utc)), "saved_as": ids[0], "acknowledged": ids[1:]}
    route.set_checkpoint(json.dumps(stored))
    assert route.run() == "success"
    assert receiver.posts == []
    ((extra),) = asset_events(route, f"{route.name}_delivered")
    assert (extra["delivered_now"], extra["delivered_before"]) == (0, 3)


@pytest.fixture
def pager(receiver, monkeypatch):
    """A webhook for alarms; gives what was told so far."""
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=f"{running.url}/alarm")
        yield lambda: [(post.event["state"], post.event["text"]) for post in running.posts]


def health(route):
    from airflow.models import Variable

    return Variable.get(f"{route.name}_health", default_var=None)


def test_a_route_that_goes_bad_is_told_once_and_when_it_is_well_again(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    for _ in range(3):
        assert route.run() == "failed"
    ((state, text),) = pager()
    assert state == "bad"
    assert text.startswith(f"{route.name} is bad: failed: the webhook at http://127.0.0.1:")
    assert "401" in health(route)
    receiver.behave = lambda _post: 200
    route.run()
    route.run()
    assert [state for state, _ in pager()] == ["bad", "well"]
    assert health(route) is None


def test_a_hold_and_a_gap_and_a_long_wait_are_told(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager", "max_logs_per_run": 10, "alarm_lag_seconds": 3600}
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.expire(1)
    for n in range(15):
        tenant.add("s", when=old + timedelta(hours=1, seconds=n))
    route.run()
    assert [state for state, _ in pager()] == ["gap", "bad"]
    assert "events have been waiting for" in pager()[1][1]
    receiver.behave = lambda _post: 410
    route.run()
    route.run()
    assert "held until" in json.loads(health(route))["problem"]
    assert len(pager()) == 2


def test_a_gap_that_no_run_gets_over_is_told_once(route, tenant, receiver, pager):
    route.settings = {"alarm_conn_id": "pager"}
    tenant.log_token_requests = False
    old = datetime.now(timezone.utc) - timedelta(days=3)
    tenant.add("s", when=old)
    route.run()
    tenant.expire(1)
    tenant.add("s", when=old + timedelta(hours=1))
    receiver.behave = lambda _post: 401
    for _ in range(3):
        assert route.run() == "failed"
    assert [state for state, _ in pager()] == ["gap", "bad"]
    receiver.behave = lambda _post: 200
    assert route.run() == "success"
    assert [state for state, _ in pager()] == ["gap", "bad", "well"]


def test_an_alarm_that_cannot_be_sent_is_sent_by_the_next_run_and_hurts_nobody(route, tenant, receiver, monkeypatch):
    route.settings = {"alarm_conn_id": "pager"}
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    set_connection(monkeypatch, "pager", host="http://127.0.0.1:9")
    assert route.run() == "failed"
    with Receiver().running() as running:
        set_connection(monkeypatch, "pager", host=running.url)
        receiver.behave = lambda _post: 200
        route.run()
        assert [post.event["state"] for post in running.posts] == ["bad", "well"]


def test_a_replay_or_a_dry_run_that_fails_says_nothing_about_the_route(route, tenant, receiver):
    spread(tenant, 10)
    receiver.behave = lambda _post: 401
    assert route.run(since=hours_ago(7), until=hours_ago(0.1)) == "failed"
    assert "401" in route.report["outcome"]
    assert route.run(since="the day before") == "failed"
    assert health(route) is None


def test_the_metrics_go_through_airflows_own_stats(route, tenant, receiver, monkeypatch):
    from airflow.sdk.observability import stats

    sent = []
    monkeypatch.setattr(stats, "incr", lambda name, count=1, **more: sent.append((name, count, more["tags"])))
    monkeypatch.setattr(stats, "gauge", lambda name, value, **more: sent.append((name, value, more["tags"])))
    route.settings = {"retention_days": 5}
    spread(tenant, 10)
    route.run()
    tags = {"route": route.name}
    delivered = len(wanted(tenant))
    assert sent == [
        ("auth0_webhooks.delivered", delivered, tags),
        ("auth0_webhooks.lag_seconds", 0.0, tags),
        ("auth0_webhooks.seconds_to_retention_loss", 5 * 86_400.0, tags),
    ]
    sent.clear()
    tenant.add("s")
    receiver.behave = lambda _post: 401
    route.run()
    assert ("auth0_webhooks.failed_runs", 1, tags) in sent
    assert "auth0_webhooks.lag_seconds" in [name for name, *_ in sent]
    sent.clear()
    route.set_checkpoint("nonsense")
    assert route.run() == "failed"
    assert sent == [("auth0_webhooks.failed_runs", 1, tags)]


def test_a_run_that_only_finds_events_waiting_for_long_is_no_failed_run(route, tenant, receiver, monkeypatch):
    from airflow.sdk.observability import stats

    sent = []
    monkeypatch.setattr(stats, "incr", lambda name, *_, **__: sent.append(name))
    route.settings = {"max_logs_per_run": 10, "alarm_lag_seconds": 60}
    spread(tenant, 30)
    assert route.run() == "success"
    assert "events have been waiting for" in health(route)
    assert "auth0_webhooks.failed_runs" not in sent
