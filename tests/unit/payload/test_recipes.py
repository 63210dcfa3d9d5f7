"""The recipes of docs/recipes.md, each against a receiver that checks the documented form of that API."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from auth0_webhooks.hooks.webhook import payload_of
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.settings.route import Route
from tests.conftest import PROJECT
from tests.support.factory import START, Keeper, delivery, log_id

PAGE = (PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = {
    name: settings
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, settings in yaml.safe_load(block)["routes"].items()
}


def logged(**fields):
    """A log event of three: one with all fields, one with few, one with text in another script."""
    bare = {"type": "limit_wc", "date": "2026-11-22T10:00:00.000Z"}
    made = []
    for number, more in enumerate(({"user_name": "ada", "ip": "::1", "description": "x"}, {}, {"user_name": "文" * 200}), 1):
        body = json.dumps({**bare, **more, **fields, "log_id": log_id(number)})
        made.append(LogEvent(log_id(number), bare["date"], fields.get("type", "limit_wc"), body, START))
    return made


def call(method, path, number=1):
    request = {"method": method, "path": path, "body": {"email": "a@example.org"}}
    body = {
        "log_id": log_id(number),
        "date": "d",
        "type": "sapi",
        "details": {"request": request, "response": {"statusCode": 200}},
    }
    return LogEvent(log_id(number), "d", "sapi", json.dumps(body), START)


def sent(receiver, name, made):
    """What the recipe's route sends of these events, over HTTP."""
    route = Route(name=name, **RECIPES[name])
    batch = Batch(START, made[-1].position, made)
    delivery(receiver.url, Keeper(), made, payload=payload_of(route), gzip=route.gzip, concurrent_calls=1).run(lambda: [batch])
    return [post.body for post in receiver.posts]


def test_slack_gets_a_text(receiver):
    bodies = [json.loads(body) for body in sent(receiver, "slack", logged())]
    assert all(body.keys() == {"text"} and body["text"] for body in bodies)
    assert [body["text"] for body in bodies[:2]] == ["Blocked: ada from ::1", "Blocked: unknown user from unknown address"]


def test_teams_gets_an_adaptive_card(receiver):
    for body in sent(receiver, "teams", logged()):
        message = json.loads(body)
        (card,) = message["attachments"]
        assert (message["type"], card["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
        assert (card["content"]["type"], card["content"]["version"]) == ("AdaptiveCard", "1.4")
        assert card["content"]["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
        assert all(block["type"] == "TextBlock" and block["text"] for block in card["content"]["body"])


def test_pagerduty_gets_an_event_of_version_2(receiver):
    for body in sent(receiver, "pagerduty", logged()):
        event = json.loads(body)
        assert event["event_action"] == "trigger"
        assert len(event["dedup_key"]) <= 255
        assert {"summary", "source", "severity"} <= event["payload"].keys()
        assert all(isinstance(event["payload"][key], str) for key in ("summary", "source", "timestamp"))
        assert len(event["payload"]["summary"]) <= 1024
        assert event["payload"]["severity"] in {"critical", "error", "warning", "info"}
        assert isinstance(event["payload"]["custom_details"], dict)


def test_opsgenie_gets_an_alert(receiver):
    for body in sent(receiver, "opsgenie", logged()):
        alert = json.loads(body)
        assert 0 < len(alert["message"]) <= 130
        assert len(alert["alias"]) <= 512
        assert isinstance(alert["description"], str)
        assert alert["priority"] in {"P1", "P2", "P3", "P4", "P5"}


def test_splunk_gets_events_one_after_the_other(receiver):
    (body,) = sent(receiver, "splunk", logged())
    events, at, decoder = [], 0, json.JSONDecoder()
    while at < len(body.rstrip()):
        event, at = decoder.raw_decode(body, at)
        events.append(event)
        at += 1
    assert [event["event"]["log_id"] for event in events] == [log_id(number) for number in (1, 2, 3)]
    assert all(event.keys() <= {"event", "time", "host", "source", "sourcetype", "index", "fields"} for event in events)
    assert receiver.posts[0].headers["Content-Type"] == "application/json"


def test_datadog_gets_an_array_of_logs(receiver):
    (body,) = sent(receiver, "datadog", logged())
    logs = json.loads(body)
    assert len(logs) <= 1000
    assert all(isinstance(log[key], str) for log in logs for key in ("message", "ddsource", "service"))
    assert [json.loads(log["message"])["log_id"] for log in logs] == [log_id(number) for number in (1, 2, 3)]
    assert receiver.posts[0].headers["Content-Encoding"] == "gzip"


def test_logstash_gets_an_array_of_objects_with_times(receiver):
    (body,) = sent(receiver, "logstash", logged())
    assert [item["@timestamp"] for item in json.loads(body)] == ["2026-11-22T10:00:00.000Z"] * 3
    assert [item["event"]["id"] for item in json.loads(body)] == [log_id(number) for number in (1, 2, 3)]


def test_a_siem_gets_one_event_per_line(receiver):
    (body,) = sent(receiver, "siem", logged())
    assert [json.loads(line)["log_id"] for line in body.splitlines()] == [log_id(number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("name", "methods"), [("user_changed", {"post", "PATCH", "put"}), ("user_deleted", {"delete", "DELETE"})]
)
def test_calls_are_picked_by_what_they_do_to_users(name, methods):
    selection = Route(name=name, **RECIPES[name]).selection
    wanted = {
        method
        for method in ("get", "post", "PATCH", "put", "delete", "DELETE")
        if selection.wants(call(method, "/api/v2/users/x"))
    }
    assert wanted == methods
    assert not selection.wants(call(next(iter(methods)), "/api/v2/clients/x"))


def test_a_changed_user_is_sent_as_date_request_and_response(receiver):
    (body,) = sent(receiver, "user_changed", [call("post", "/api/v2/users")])
    assert json.loads(body).keys() == {"date", "request", "response"}
    assert json.loads(body)["request"]["body"] == {"email": "a@example.org"}


def test_a_deleted_user_is_sent_with_the_path_that_ends_in_its_id(receiver):
    (body,) = sent(receiver, "user_deleted", [call("delete", "/api/v2/users/auth0|5")])
    assert json.loads(body)["path"] == "/api/v2/users/auth0|5"


def test_every_recipe_is_tried():
    assert RECIPES.keys() == {
        "slack", "teams", "pagerduty", "opsgenie", "splunk", "datadog", "logstash", "siem", "user_changed", "user_deleted",
    }  # fmt: skip
