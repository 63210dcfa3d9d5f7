"""The recipes of docs/recipes.md, each against a receiver that checks what the service documents."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
import yaml

from auth0_webhooks.delivery.delivery import Delivery
from auth0_webhooks.errors import EndpointHeldError, EndpointWrongError, EventRefusedError
from auth0_webhooks.filtering.selection import Tally, select
from auth0_webhooks.hooks.webhook import endpoint_of, payload_of
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from simulation.event_shapes import PUBLISHED
from tests.conftest import PROJECT, set_connection
from tests.support.factory import QUICK, START, Keeper, events, log_id
from tests.support.shapes import shaped_events
from tests.unit.payload.services import KEY, SERVICES

PAGE = (PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8")
SECTIONS = {
    name: (settings, section)
    for section in PAGE.split("\n## ")
    for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    for name, settings in yaml.safe_load(block)["routes"].items()
}
DOCUMENTED = [name for name in SERVICES if name != "siem"]
ANSWERS = [
    (name, int(status), what_happens)
    for name in DOCUMENTED
    for statuses, what_happens in re.findall(r"^\| ([\d, ]+) \| .* \| ([a-z ]+) \|$", SECTIONS[name][1], re.MULTILINE)
    for status in statuses.split(", ")
]


def route_of(name, **settings):
    return Route(name=name, **SECTIONS[name][0] | settings)


@pytest.fixture
def send(receiver, monkeypatch, tmp_path):
    """Sends events as a recipe's route and connection do, and says what happened, in the words of the page."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")

    def send(route, made, key=KEY):
        found = re.search(r"```json\n(.*?)```", SECTIONS[route.name][1], re.DOTALL)
        connection = json.loads(found[1].replace("YOUR_KEY", key)) if found else {"host": ""}
        there = urlsplit(connection["host"])
        connection["host"] = receiver.url + there.path + (f"?{there.query}" if there.query else "")
        set_connection(monkeypatch, route.webhook_conn_id, **connection)
        letters = DeadLetterStore(route.model_copy(update={"dead_letter_path": str(tmp_path)}))
        payload = payload_of(route)
        delivery = Delivery(
            endpoint_of(route, payload), Keeper(), start=START, end=made[-1].position, first=True, payload=payload,
            concurrent_calls=1, dead_letters=letters if route.on_reject == "dead_letter" else None, waits=QUICK,
        )  # fmt: skip
        expected = len(receiver.posts) + len(set(payload.groups(made)))
        try:
            delivery.run(lambda: [Batch(START, made[-1].position, made)])
        except EndpointWrongError:
            return "stopped"
        except EndpointHeldError:
            return "on hold"
        except EventRefusedError:
            return "refused"
        if list(letters.letters()):
            return "refused"
        return "retried" if delivery.figures.retried else "halved" if len(receiver.posts) > expected else "delivered"

    return send


def logged(**fields):
    """A log event of three: one with all fields, one with few, one with text in another script."""
    bare = {"type": "limit_wc", "date": "2026-11-22T10:00:00.000Z"}
    made = []
    for number, more in enumerate(({"user_name": "ada", "ip": "::1", "description": "x"}, {}, {"user_name": "文" * 200}), 1):
        body = json.dumps({**bare, **more, **fields, "log_id": log_id(number)})
        made.append(LogEvent(log_id(number), bare["date"], "limit_wc", body, made[-1].position if made else START))
    return made


def call(method, path):
    request = {"method": method, "path": path, "body": {"email": "a@example.org"}}
    details = {"request": request, "response": {"statusCode": 200}}
    return LogEvent("", "d", "sapi", json.dumps({"log_id": "", "date": "d", "type": "sapi", "details": details}), START)


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_takes_every_event_that_a_recipe_selects(receiver, send, name):
    route, service = route_of(name), SERVICES[name]
    receiver.behave = service.answer
    made = shaped_events([code for code in PUBLISHED if code in route.wanted_types or not route.wanted_types])
    assert send(route, made) == "delivered"
    assert send(route, logged()) == "delivered"
    assert {post.answer for post in receiver.posts} == {service.accepted}


def test_the_pace_of_a_recipe_is_within_what_the_service_documents():
    limited = [name for name, service in SERVICES.items() if service.most_per_second < 10**9]
    assert limited == ["slack", "pagerduty"]
    assert all(0 < route_of(name).max_per_second <= SERVICES[name].most_per_second for name in limited)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_wrong_key_does_what_the_page_says(receiver, send, name):
    receiver.behave = SERVICES[name].answer
    assert (name, SERVICES[name].denied, send(route_of(name), logged(), key="another")) in ANSWERS


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.invalid])
def test_a_body_in_another_form_is_refused(receiver, send, name):
    receiver.behave = SERVICES[name].answer
    assert send(route_of(name, body="{wrong: type}"), logged()) == "refused"


@pytest.mark.parametrize(
    ("name", "fields", "what_happens"),
    [
        ("slack", {"user_name": "x" * 3_000}, "refused"),
        ("pagerduty", {"user_name": "x" * 1_024}, "refused"),
        ("pagerduty", {"details": {"x": "x" * 512_000}}, "refused"),
        ("opsgenie", {"description": "x" * 15_001}, "refused"),
        ("datadog", {"description": "x" * 2_000_000}, "halved"),
        ("sentinel", {"description": "x" * 400_000}, "halved"),
    ],
)
def test_a_body_over_a_limit_of_the_service_is_refused_or_halved(receiver, send, name, fields, what_happens):
    receiver.behave = SERVICES[name].answer
    assert send(route_of(name, max_bytes=100_000_000), logged(**fields)) == what_happens


@pytest.mark.parametrize("name", ["datadog", "sentinel"])
def test_a_recipes_batches_keep_below_the_services_limit(receiver, send, name):
    receiver.behave = SERVICES[name].answer
    assert send(route_of(name), logged(description="x" * 400_000)) == "delivered"


@pytest.mark.parametrize(("name", "status", "what_happens"), ANSWERS)
def test_each_answer_does_what_the_page_says(receiver, send, name, status, what_happens):
    def behave(post):
        once = what_happens in {"retried", "halved"} and len(receiver.posts) > 1
        about_the_first = post.headers["webhook-id"].startswith(log_id(1))
        return status if about_the_first and not once else SERVICES[name].accepted

    receiver.behave = behave
    assert send(route_of(name), logged()) == what_happens


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_page_has_every_answer_of_the_service(name):
    assert SERVICES[name].documented <= {status for service, status, _ in ANSWERS if service == name}


def test_chat_messages_name_the_user_and_the_address(receiver, send):
    receiver.behave = SERVICES["slack"].answer
    send(route_of("slack"), logged())
    texts = [json.loads(post.body)["blocks"][0]["text"]["text"] for post in receiver.posts]
    assert texts[:2] == ["Blocked: ada from ::1", "Blocked: unknown user from unknown address"]


@pytest.mark.parametrize(
    ("name", "log_id_of"),
    [
        ("splunk", lambda item: item["event"]["log_id"]),
        ("datadog", lambda item: json.loads(item["message"])["log_id"]),
        ("logstash", lambda item: item["event"]["id"]),
        ("sentinel", lambda item: item["Event"]["log_id"]),
    ],
)
def test_a_batch_carries_the_whole_events(receiver, send, name, log_id_of):
    receiver.behave = SERVICES[name].answer
    send(route_of(name), logged())
    (post,) = receiver.posts
    items = [json.loads(line) for line in post.body.splitlines()]
    assert [log_id_of(item) for item in (items[0] if isinstance(items[0], list) else items)] == [
        log_id(number) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("name", "methods", "keys"),
    [
        ("user_changed", ["post", "PATCH", "put"], {"date", "request", "response"}),
        ("user_deleted", ["delete", "DELETE"], {"date", "path", "log_id"}),
    ],
)
def test_what_was_done_to_users_is_picked_and_sent(receiver, send, name, methods, keys):
    calls = [
        call(method, path)
        for method in ("get", "post", "PATCH", "put", "delete", "DELETE")
        for path in ("/api/v2/users/auth0|5", "/api/v2/clients/5", "/api/v2/users-by-email")
    ]
    made = [*events(1), *(each._replace(type="fapi") for each in calls), *calls]
    made = [each._replace(log_id=log_id(number)) for number, each in enumerate(made, 1)]
    route = route_of(name)
    assert send(route, select(Batch(START, made[-1].position, made), route.selection, Tally()).events) == "delivered"
    sent = [json.loads(post.body) for post in receiver.posts]
    assert all(body.keys() == keys for body in sent)
    assert [body.get("path") or body["request"]["path"] for body in sent] == ["/api/v2/users/auth0|5"] * len(methods)
    assert [body["request"]["method"] for body in sent if "request" in body] == (methods if name == "user_changed" else [])


def test_every_recipe_is_tried():
    assert SECTIONS.keys() == SERVICES.keys() | {"user_changed", "user_deleted"}
