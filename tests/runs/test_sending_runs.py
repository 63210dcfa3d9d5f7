"""Whole runs of routes that send in another form, on a real Airflow database, tenant and webhook over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from auth0_webhooks.privacy import redaction
from tests.conftest import set_connection
from tests.support.raw_server import answering
from tests.support.runner import wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("airflow_home", "connections")]

KEY = "a-long-key-of-the-webhook-for-its-pseudonyms"


def test_a_route_sends_compressed_batches_of_cloud_events_without_user_data(route, tenant, receiver, monkeypatch):
    set_connection(monkeypatch, "webhook_default", host=receiver.url, extra=json.dumps({"pseudonym_secret": KEY}))
    route.settings = {"payload": "array", "gzip": True, "envelope": "cloudevents", "redact": {"user_data": "pseudonym"}}
    tenant.add_many(300)
    assert route.run() == "success"
    assert receiver.problems == []
    assert sorted(receiver.accepted) == wanted(tenant)
    report = route.report
    assert (report["delivered_now"], report["posts"]) == (len(wanted(tenant)), len(receiver.posts))
    assert len(receiver.posts) <= len(wanted(tenant)) // 100 + 1
    assert {item["source"] for post in receiver.posts for item in json.loads(post.body)} == {tenant.url}
    sent = "".join(post.body for post in receiver.posts)
    assert "pseudonym_secret" not in str([post.headers for post in receiver.posts])
    for _, _, text in tenant.log():
        event = json.loads(text)
        for key in ("user_id", "user_name", "ip", "user_agent"):
            assert key not in event or event[key] not in sent
    assert all(event["user_name"].startswith("psn_") for post in receiver.posts for event in post.events if "user_name" in event)


def test_dead_letters_are_redacted_and_are_sent_again_in_the_form_of_the_route(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    letters = tmp_path / "letters"
    route.settings = {
        "payload": "lines",
        "redact": {"user_name": "mask"},
        "on_reject": "dead_letter",
        "dead_letter_path": str(letters),
    }
    tenant.add_many(150)
    bad = {log_id for log_id, kind, _ in tenant.log() if kind == "fp"}
    receiver.behave = lambda post: 422 if bad & set(post.log_ids) else 200
    assert route.run() == "success"
    assert route.report["dead_lettered"] == len(bad) > 0
    assert set(receiver.accepted) == set(wanted(tenant)) - bad
    files = [file.read_text(encoding="utf-8") for file in Path(letters / route.name).iterdir()]
    assert len(files) == len(bad)
    assert not any("@example.com" in file for file in files)

    # One that was set aside before the route redacted anything is redacted when it is sent again.
    head, _, body = files[0].partition("\n")
    old = {**json.loads(head), "redaction": ""}
    event = {**json.loads(body), "user_name": "ada@example.com"}
    (letters / route.name / f"{old['log_id']}.letter").write_text(f"{json.dumps(old)}\n{json.dumps(event)}", encoding="utf-8")

    receiver.behave = lambda _post: 200
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"]) == ("success", len(bad))
    again = receiver.posts[-len(bad) :]
    assert {post.headers["Content-Type"] for post in again} == {"application/x-ndjson"}
    sent = [json.loads(line) for post in receiver.posts for line in post.body.splitlines()]
    assert not any("@example.com" in event.get("user_name", "") for event in sent)
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.problems == []


def test_an_answer_of_2xx_that_no_client_can_read_is_an_acknowledgement(route, tenant, monkeypatch):
    tenant.add_many(100)
    with answering(b"HTTP/1.1 202 Taken\r\nContent-Length: 1\r\nContent-Length: 2\r\nContent-Encoding: br\r\n\r\n\x00") as url:
        set_connection(monkeypatch, "webhook_default", host=url)
        assert route.run() == "success"
    report, expected = route.report, len(wanted(tenant))
    assert (report["delivered_now"], report["posts"], report["retried"]) == (expected, expected, 0)


@pytest.mark.postgres
def test_events_that_are_odd_json_go_the_whole_way_and_hold_up_nothing(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route.settings = {
        "on_reject": "dead_letter",
        "dead_letter_path": str(tmp_path),
        "where": "n != `5`",
        "concurrent_calls": 1,
    }
    odd = [
        '"type": "s\\u0000\\ud800", "n": 1',
        '"type": "s", "type": "f", "n": 1e999',
        f'"type": "s", "n": {"9" * 10_000}',
        '"type": "s", "n": [NaN, -Infinity, "\\ud800", "\\u0000"]',
        f'"type": "s", "n": {"[" * 5_000}{"]" * 5_000}',
        '"type": "fu", "date": "2026-11-22T10:00:00.000Z\\u0000", "n": 2',
    ]
    tenant.add_many(3)
    assert route.run() == "success"
    for number, more in enumerate(odd, 10):
        last = int(tenant.log()[-1][0])
        text = f'{{"log_id": "{last + 1}", "date": "2026-11-22T10:00:00.000Z", {more}}}'
        tenant.add_text(str(last + 1), f"2026-11-22T10:00:{number}.000Z", "s", text)
    for _ in range(2):
        assert route.run() == "success"
    sent = {post.body for post in receiver.posts if post.was_accepted}
    assert all((text in sent) is ("[" * 1_000 not in text) for _, kind, text in tenant.log() if kind not in {"sapi", "fapi"})
    (letter,) = (tmp_path / route.name).iterdir()
    assert letter.read_text(encoding="utf-8").partition("\n")[2] == tenant.log()[-2][2]
    assert route.checkpoint.position.log_id >= tenant.log()[-1][0]


def test_batches_that_were_redacted_by_other_rules_are_not_sent(route, tenant, receiver, monkeypatch, logged):
    tenant.add_many(10)
    marks = iter(["of the rules when filter ran", "of the rules when deliver is tried again"])
    monkeypatch.setattr(redaction, "redaction_mark", lambda _rules: next(marks))
    assert route.run() == "failed"
    assert receiver.posts == []
    assert "key 'redact' has changed since this run's filter" in logged()


def test_a_dry_run_shows_an_event_in_the_form_in_which_it_would_be_sent(route, tenant, receiver, monkeypatch):
    set_connection(monkeypatch, "webhook_default", host=receiver.url, extra=json.dumps({"pseudonym_secret": KEY}))
    route.settings = {
        "payload": "array",
        "envelope": "standard",
        "redact": {"user_id": "pseudonym", "ip": "drop"},
        "log_types": ["fp"],
    }
    tenant.add("fp")
    assert route.run(dry_run=True) == "success"
    (shown,) = json.loads(route.report["sample"])
    assert (shown["type"], list(shown)) == ("auth0.log.fp", ["type", "timestamp", "data"])
    assert shown["data"]["user_id"].startswith("psn_")
    assert "ip" not in shown["data"]
    assert shown["data"]["user_name"] == "***"
    assert receiver.posts == []


def test_pseudonyms_without_a_key_fail_at_once_and_say_where_to_put_it(route, tenant, receiver, logged):
    route.settings = {"redact": {"user_data": "pseudonym"}}
    tenant.add_many(5)
    assert route.run() == "failed"
    assert receiver.posts == []
    assert "pseudonyms need a 'pseudonym_secret' in the extra of connection 'webhook_default'" in logged()


def test_a_dry_run_shows_what_an_expression_would_pick_and_a_run_sends_just_that(route, tenant, receiver):
    where = "in_network(ip, '203.0.113.0/25') && contains(['Shop', 'Back office'], client_name)"
    tenant.log_token_requests = False
    tenant.add_many(300)
    texts = [json.loads(text) for log_id, _, text in tenant.log() if log_id in set(wanted(tenant))]
    fitting = sorted(
        event["log_id"]
        for event in texts
        if int(event.get("ip", "0.0.0.255").split(".")[3]) < 128 and event.get("client_name") in {"Shop", "Back office"}
    )
    assert 0 < len(fitting) < len(texts)
    assert route.run(dry_run=True, where=where) == "success"
    assert route.report["not_reached"] == route.report["selected"] == len(fitting)
    assert route.report["not_matching"] == len(texts) - len(fitting)
    route.settings = {"where": where, "include_types": ["auth"], "log_types": ["brand_new_type"]}
    assert route.run() == "success"
    types = {log_id: kind for log_id, kind, _ in tenant.log()}
    assert 0 < len(receiver.accepted) < len(fitting)
    assert set(receiver.accepted) <= set(fitting)
    assert "fp" in {types[log_id] for log_id in receiver.accepted}
    assert "limit_wc" not in {types[log_id] for log_id in receiver.accepted}


def send_again_with(route, body):
    """Change the route's body in the file from which the dead letters' DAG reads it."""
    text = yaml.safe_dump({"routes": {route.name: {**route.settings, "body": body}}})
    (route.home / "dags" / "webhook_routes.yaml").write_text(text, encoding="utf-8")


def test_a_body_of_the_routes_own_is_shown_by_a_dry_run_and_sent_after_redaction(route, tenant, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    tenant.log_token_requests = False
    route.settings = {
        "log_types": ["fp", "s"],
        "body": "type == 'fp' && {text: join(' ', ['failed:', user_name]), log_id: log_id} || `null`",
        "redact": {"user_name": "mask"},
        "on_reject": "dead_letter",
        "dead_letter_path": str(tmp_path / "letters"),
    }
    failed, login = tenant.add("fp"), tenant.add("s")
    assert route.run(dry_run=True) == "success"
    assert json.loads(route.report["sample"])["log_id"] == failed
    assert receiver.posts == []
    assert route.run() == "success"
    (post,) = receiver.posts
    assert json.loads(post.body) == {"text": "failed: ***", "log_id": failed}
    assert [letter["log_id"] for letter in route.report["set_aside"]] == [login]

    send_again_with(route, "unknown_field")
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["refused"]) == ("success", 1)

    send_again_with(route, "{text: user_name}")
    state, report = route.run_dead_letters(send=True)
    assert (state, report[route.name]["sent"]) == ("success", 1)
    assert json.loads(receiver.posts[-1].body) == {"text": "***"}
