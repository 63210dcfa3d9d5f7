"""The page's API: who sees what of which route, on Airflow's own API server and a real database."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth0_webhooks.model.checkpoint import Checkpoint, Writer
from auth0_webhooks.model.events import Position
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import iso
from tests.support.api_server import SETTINGS, ApiServer, Rows, ago, report

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

LOG_ID = "90020261122100000000000000000000000000000000000000000042"
SECRET = "whsec_never-to-be-seen"


@pytest.fixture(scope="module")
def server(airflow_home):
    """Routes of two teams, and a DAG that is none: what they are told is in the tests."""
    from airflow.utils.session import create_session

    with pytest.MonkeyPatch.context() as patch, create_session() as session:
        for key, value in SETTINGS.items():
            patch.setenv(key, value)
        rows = Rows(session)
        rows.bundle("page-day")
        rows.bundle("page-night", team="night")
        rows.bundle("page-other", team="other")
        rows.dag("page_day", bundle="page-day")
        rows.dag("page_night", bundle="page-night")
        rows.settings(Route(name="page_day", retention_days=2, watch=5))
        rows.settings(Route(name="page_night", watch=None))
        rows.dag("page_other", bundle="page-other")
        rows.dag("page_no_route", bundle="page-day", tags=())
        rows.dag("auth0_webhook_dead_letters", bundle="page-day", tags=())
        rows.variable("page_day_checkpoint", json.dumps({"log_id": LOG_ID, "date": iso(ago(hours=1)), "saved_as": LOG_ID}))
        rows.variable("somebody_elses", SECRET)
        rows.run("page_day", ago(hours=20), report(read=9, selected=9, delivered_now=7, dead_lettered=2, selected_types={"s": 9},
                 set_aside=[{"log_id": "1", "type": "s", "answer": "400 Bad Request", "answer_body": SECRET}]))  # fmt: skip
        rows.run("page_day", ago(hours=2), report(mode="replay", window="a .. b", read=3, selected=3, delivered_now=3,
                 selected_types={"f": 3}, sample=SECRET), run_type="manual")  # fmt: skip
        last = report(read=5, selected=5, delivered_now=4, not_reached=1, lag_seconds=600.0, selected_types={"f": 5})
        rows.run("page_day", ago(minutes=10), last, state="failed")
        rows.delivered("page_day", ago(minutes=10), last | {"not_reached": 0, "last_selected": [LOG_ID, iso(ago(hours=1)), "f"]})
        listed = {"log_id": "0", "type": "fp", "date": "d", "answer": "422 Unprocessable", "tries": 1, "at": "t"}
        found = {"page_day": {"found": 1, "left": 1, "refused": 0, "sent": 0, "listed": [listed]}}
        rows.run("auth0_webhook_dead_letters", ago(hours=30), found, task="dead_letters", run_type="manual")
        rows.dag("auth0_webhook_audit", bundle="page-day", tags=())
        audited = {
            "unaccounted": 3,
            "sent": 1,
            "dead_lettered": 1,
            "audited_until": iso(ago(hours=8)),
            "outcome": "3 not accounted for",
        }
        rows.run("auth0_webhook_audit", ago(hours=7), {"page_day": audited}, task="audit")
        yield ApiServer(airflow_home)


@pytest.fixture(scope="module")
def admin(server):
    return server.client("admin")


def names(client):
    answer = client.get("/tenant-logs/api/routes")
    assert answer.status_code == 200, answer.text
    return {route["dag_id"] for route in answer.json()["routes"]}


def detail(client, dag_id="page_day", **query):
    answer = client.get(f"/tenant-logs/api/routes/{dag_id}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def since_the_lag_began():
    """Seconds: the last run ended ten minutes before these tests were imported, and was ten minutes behind."""
    return (datetime.now(timezone.utc) - ago(minutes=20)).total_seconds()


def test_all_routes_are_listed_and_other_dags_are_not(admin):
    assert names(admin) >= {"page_day", "page_night", "page_other"}
    assert not names(admin) & {"page_no_route", "auth0_webhook_dead_letters", "auth0_webhook_audit"}


def test_a_route_tells_lag_time_to_loss_last_delivery_checkpoint_and_watch(admin):
    earliest = since_the_lag_began()
    route = detail(admin)["route"]
    assert route["state"]["code"] == "waiting"
    assert earliest - 1 <= route["lag_seconds"] <= since_the_lag_began() + 1
    assert route["seconds_to_loss"] == pytest.approx(2 * 86_400 - route["lag_seconds"])
    assert route["last_delivered"] == iso(ago(hours=1))
    assert (route["checkpoint"]["log_id"], route["checkpoint"]["date"]) == (LOG_ID, iso(ago(hours=1)))
    assert route["settings"]["watch"] == 5
    assert detail(admin, "page_night")["route"]["settings"]["watch"] is None
    assert detail(admin, "page_night")["route"]["state"]["code"] == "new"


def test_an_older_checkpoint_is_shown_until_the_record_or_its_sum_is_gone(admin):
    """What shows the button, and what the button writes: the value without its sum."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    def saved(log_id, since):
        return Checkpoint(Position(log_id, iso(since), seen=True)).dump(Writer(since, 1, "run try 1"))

    def instead():
        return detail(admin, "page_night")["route"]["checkpoint"]["instead"]

    later = str(int(LOG_ID) + 1)
    older = saved(LOG_ID, ago(hours=2))
    with create_session() as session:
        rows = Rows(session)
        assert instead() is None
        rows.variable("page_night_checkpoint", older)
        assert instead() is None
        rows.variable("page_night_checkpoint_writer", saved(later, ago(hours=1)))
        assert instead() == {"log_id": later, "date": iso(ago(hours=1))}
        rows.variable("page_night_checkpoint", json.dumps({k: v for k, v in json.loads(older).items() if k != "sum"}))
        assert instead() is None
        rows.variable("page_night_checkpoint", older)
        Variable.delete("page_night_checkpoint_writer", session=session)
        session.commit()
        assert instead() is None
        Variable.delete("page_night_checkpoint", session=session)


def test_the_last_runs_come_newest_first_with_their_ledgers(admin):
    runs = detail(admin)["runs"]
    assert [run["ledger"]["mode"] for run in runs] == ["live", "replay", "live"]
    assert [run["state"] for run in runs] == ["failed", "success", "success"]
    assert runs[0]["ledger"]["not_reached"] == 1
    assert len(detail(admin, runs=1)["runs"]) == 1


def test_the_chart_adds_up_what_the_runs_of_the_span_report(admin):
    history = detail(admin, days=1)["history"]
    assert len(history["buckets"]) == 24
    assert [sum(bucket[key] for bucket in history["buckets"]) for key in ("delivered", "dead_lettered", "repeated")] == [14, 2, 0]
    assert history["types"] == {"s": 9, "f": 8}
    assert history["cut_at"] is None


def test_dead_letters_are_those_of_the_last_listing_and_what_was_set_aside_since(admin):
    letters = detail(admin)["dead_letters"]
    assert (letters["waiting"], letters["since"]) == (1, 2)
    assert [letter["answer"] for letter in letters["letters"]] == ["422 Unprocessable", "400 Bad Request"]


def test_a_route_tells_until_when_it_is_audited_and_what_is_left(admin):
    audit = detail(admin)["audit"]
    assert (audit["until"], audit["unaccounted"], audit["left"]) == (iso(ago(hours=8)), 3, 1)
    assert audit["outcome"] == "3 not accounted for"
    assert detail(admin)["audit_dag_id"] == "auth0_webhook_audit"
    assert detail(admin, "page_night")["audit"] is None


def test_the_list_tells_of_each_route_what_its_last_audit_found(server, admin):
    listed = {route["dag_id"]: route["audit"] for route in admin.get("/tenant-logs/api/routes").json()["routes"]}
    assert (listed["page_day"]["until"], listed["page_day"]["left"]) == (iso(ago(hours=8)), 1)
    assert listed["page_night"] is None


@pytest.fixture
def queries(server):
    """The queries of the page, while each is asked: its text and its parameters."""
    from airflow import settings
    from sqlalchemy import event

    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    event.listen(settings.engine, "before_cursor_execute", note)
    yield asked
    event.remove(settings.engine, "before_cursor_execute", note)


def test_many_routes_are_read_with_as_many_queries_as_one(server, queries):
    from airflow.utils.session import create_session

    from auth0_webhooks.page import stored

    names = [f"page_many_{number}" for number in range(30)]
    with create_session() as session:
        rows = Rows(session)
        for name in names:
            rows.dag(name, bundle="page-other")
            rows.run(name, ago(hours=2), report(read=1))
            rows.run(name, ago(hours=1), report(read=2))
            rows.delivered(name, ago(hours=1), {"of": name})
        routes = [stored.find_route(session, name) for name in names]
        queries.clear()
        (one,) = stored.stored(session, routes[:1])
        for_one = len(queries)
        queries.clear()
        many = stored.stored(session, routes)
    assert len(queries) == for_one
    assert [[run.report["read"] for run in found.runs] for found in many] == [[2, 1]] * 30
    assert [found.delivered["of"] for found in many] == names
    assert many[0] == one


def test_no_query_reads_the_rows_of_all_runs(admin, queries):
    """What SQLite plans to do, as it does without statistics of the tables."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    detail(admin, days="30")
    names(admin)
    asked = list(queries)
    with create_session() as session:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            return  # PostgreSQL plans by how many rows there are
        plans = [connection.exec_driver_sql(f"explain query plan {query}", given).all() for query, given in asked]
        assert connection.execute(text("select count(*) from sqlite_master where name = 'idx_xcom_key'")).scalar() == 1
    steps = " ".join(row[-1] for plan in plans for row in plan)
    assert "SEARCH xcom" in steps
    assert not re.findall(r"SCAN (?:dag_run|xcom|asset_event)\b|idx_xcom_key", steps)


def test_no_secret_no_event_and_no_other_variable_is_shown(server, admin):
    for client in (admin, server.client("viewer")):
        text = client.get("/tenant-logs/api/routes").text + client.get("/tenant-logs/api/routes/page_day?runs=100").text
        assert SECRET not in text
        assert "saved_as" not in text


def test_without_a_login_there_is_the_page_and_no_data(server):
    anonymous = server.client()
    assert anonymous.get("/tenant-logs/api/routes").status_code == 401
    assert anonymous.get("/tenant-logs/api/routes/page_day").status_code == 401
    page = anonymous.get("/tenant-logs/page")
    assert page.status_code == 200
    assert "page_day" not in page.text


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("viewer", set()),
        ("runner", {"run", "pause", "send_letters"}),
        ("operator", {"run", "pause", "send_letters", "move"}),
        ("admin", {"run", "pause", "send_letters", "move"}),
    ],
)
def test_what_a_user_may_do_is_what_airflow_says(server, user, allowed):
    may = detail(server.client(user))["may"]
    assert {action for action in ("run", "pause", "send_letters", "move") if may[action]} == allowed


def test_a_viewer_who_acts_all_the_same_is_refused_by_airflow(server):
    viewer = server.client("viewer")
    assert viewer.post("/api/v2/dags/page_day/dagRuns", json={"logical_date": None}).status_code == 403
    assert viewer.patch("/api/v2/dags/page_day", json={"is_paused": True}).status_code == 403
    body = {"key": "page_day_checkpoint", "value": "2026-01-01T00:00:00Z"}
    assert viewer.patch("/api/v2/variables/page_day_checkpoint", json=body).status_code == 403
    assert viewer.get("/api/v2/variables/page_day_checkpoint").status_code == 403


def test_an_operator_of_one_team_sees_no_route_of_another(server):
    night = server.client("night")
    assert names(night) >= {"page_night"}
    assert "page_other" not in names(night)
    answer = night.get("/tenant-logs/api/routes/page_other")
    assert answer.status_code == 403
    assert "checkpoint" not in answer.text
    operator = server.client("operator")  # of no team
    assert not names(operator) & {"page_night", "page_other"}
    assert operator.get("/tenant-logs/api/routes/page_night").status_code == 403


def test_a_dag_that_is_no_route_is_said_to_be_none(admin):
    answer = admin.get("/tenant-logs/api/routes/page_no_route")
    assert answer.status_code == 404
    assert "no route" in answer.json()["detail"]


def test_nothing_changes_state(server, admin):
    for method in ("post", "put", "patch", "delete"):
        for path in ("page", "api/routes", "api/routes/page_day"):
            assert getattr(admin, method)(f"/tenant-logs/{path}").status_code == 405
    from auth0_webhooks.page.api import app

    assert {method for route in app.routes for method in getattr(route, "methods", None) or ()} <= {"GET", "HEAD"}


def test_the_page_loads_nothing_from_elsewhere(server):
    anonymous = server.client()
    page = anonymous.get("/tenant-logs/page")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert set(re.findall(r'(?:src|href)="(.*?)"', page.text)) >= {"static/page.css", "static/uplot/uPlot.iife.min.js"}
    for name in re.findall(r'(?:src|href)="static/(.*?)"', page.text):
        assert anonymous.get(f"/tenant-logs/static/{name}").status_code == 200
    assert anonymous.get("/tenant-logs/static/../api.py").status_code == 404
    assert anonymous.get("/tenant-logs/static/%2e%2e/api.py").status_code == 404


anything = st.one_of(
    st.text(max_size=50), st.integers().map(str), st.sampled_from(["", "0", "-1", "1e9", "null", "\x00", "'--", "101"])
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=anything, runs=anything, more=st.dictionaries(st.text(max_size=8), anything, max_size=2))
def test_bad_parameters_are_refused_and_never_break_the_server(admin, days, runs, more):
    answer = admin.get("/tenant-logs/api/routes/page_day", params={**more, "days": days, "runs": runs})
    good = days in {"1", "7", "30"} and re.fullmatch(r"\+?[0-9_]+(\.0*)?", runs.strip())
    assert answer.status_code in ({200, 422} if good else {422})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dag_id=anything)
def test_a_name_that_no_dag_can_have_is_refused_and_never_breaks_the_server(admin, dag_id):
    from urllib.parse import quote

    answer = admin.get(f"/tenant-logs/api/routes/{quote(dag_id, safe='')}")
    assert answer.status_code in {200 if dag_id in {"", "."} else 404, 404, 405, 422, 307}


@pytest.mark.parametrize("value", ["", "null", "[]", "{", '{"problem": 5}', '{"problem": null, "since": 3}'])
def test_a_variable_that_was_edited_into_nonsense_is_shown_in_words(server, admin, value):
    from airflow.utils.session import create_session

    with create_session() as session:
        rows = Rows(session)
        rows.variable("page_night_health", value)
        rows.variable("page_night_checkpoint", value)
    state = detail(admin, "page_night")["route"]["state"]
    assert state["code"] == "failing"
    assert "page_night_checkpoint" in state["words"]
    with create_session() as session:
        from airflow.models.variable import Variable

        Variable.delete("page_night_checkpoint", session=session)
        Variable.delete("page_night_health", session=session)
