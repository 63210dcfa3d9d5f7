"""The connection types "Auth0 tenant" and "Webhook": their forms, and what Test on them does, over real HTTP."""

from __future__ import annotations

import importlib.metadata
import json
import secrets
from base64 import b64encode

import pytest
from standardwebhooks.webhooks import Webhook

from auth0_webhooks.connections.fields import base_url
from auth0_webhooks.webhook.endpoint import Endpoint
from simulation.tenant import CLIENT_ID, CLIENT_SECRET
from tests.support.api_server import SETTINGS, ApiServer

pytestmark = pytest.mark.airflow

SIGNING_SECRET = "whsec_" + b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture(scope="module")
def admin(airflow_home):
    with pytest.MonkeyPatch.context() as patch:
        for key, value in SETTINGS.items():
            patch.setenv(key, value)
        yield ApiServer(airflow_home).client("admin")


def press(admin, conn_type, host, extra=None, **fields):
    """Press Test, as the form does; returns whether it went well, and what it says."""
    body = {"connection_id": "new", "conn_type": conn_type, "host": host, "extra": json.dumps(extra or {}), **fields}
    answer = admin.post("/api/v2/connections/test", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["status"], answer.json()["message"]


def test_the_project_brings_its_connection_types_to_airflow():
    (entry,) = [
        entry
        for entry in importlib.metadata.entry_points(group="apache_airflow_provider")
        if entry.value.startswith("auth0_webhooks.")
    ]
    types = entry.load()()["connection-types"]
    assert [(kind["connection-type"], kind["hook-name"]) for kind in types] == [("auth0", "Auth0 tenant"), ("webhook", "Webhook")]


def test_airflow_accepts_what_the_provider_says_and_knows_the_hooks():
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager.initialize_providers_list()
    assert "auth0-log-webhooks" in manager.providers  # checked against Airflow's schema, or left out
    for conn_type in ("auth0", "webhook"):
        assert manager.hooks[conn_type].connection_testable


def test_the_forms_have_labelled_fields(admin):
    meta = {kind["connection_type"]: kind for kind in admin.get("/ui/connections/hook_meta").json()}
    assert meta["auth0"]["hook_name"] == "Auth0 tenant"
    assert {field: meta["auth0"]["standard_fields"][field]["title"] for field in ("host", "login", "password")} == {
        "host": "Tenant domain",
        "login": "Client ID",
        "password": "Client secret",
    }
    assert set(meta["auth0"]["extra_fields"]) == {"audience", "api_reserve"}
    assert set(meta["webhook"]["extra_fields"]) == {"signing_secrets", "headers", "body_secrets", "pseudonym_secret", "verify"}


def test_test_on_a_tenant_asks_for_a_token_and_reads_one_log(admin, tenant):
    tenant.add_many(5)
    status, message = press(admin, "auth0", tenant.url, login=CLIENT_ID, password=CLIENT_SECRET, extra={"audience": None})
    assert status, message
    assert "gave a token and showed the log; its newest event is of 20" in message
    assert tenant.requests["POST /oauth/token"] == 1
    assert tenant.queries[-1]["per_page"] == "1"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"password": "wrong"}, "gives no token"),
        ({"password": None}, "has no password (the client secret)"),
        ({"host": "http://127.0.0.1:9"}, "no answer from Auth0"),
    ],
)
def test_test_on_a_tenant_says_what_is_wrong(admin, tenant, fields, says):
    status, message = press(admin, "auth0", **{"host": tenant.url, "login": CLIENT_ID, "password": CLIENT_SECRET, **fields})
    assert not status
    assert says in message
    assert CLIENT_SECRET not in message


def test_test_on_a_webhook_sends_a_signed_event_that_says_it_is_a_test(admin, receiver):
    headers = {"X-Team": "blue"}
    extra = {"signing_secrets": [SIGNING_SECRET], "headers": headers, "verify": None}
    status, message = press(admin, "webhook", f"{receiver.url}/hooks", extra)
    assert status, message
    assert "accepted a test event, signed: 200" in message
    (post,) = receiver.posts
    event = Webhook(SIGNING_SECRET).verify(post.body, post.headers)
    assert (event["type"], event["test"]) == ("connection_test", True)
    assert "does not belong to any tenant" in event["description"]
    assert post.path == "/hooks"
    assert {name.lower(): value for name, value in post.headers.items()}["x-team"] == "blue"


def test_test_on_a_webhook_says_what_it_answered(admin, receiver):
    receiver.behave = lambda _post: 401
    status, message = press(admin, "webhook", receiver.url)
    assert not status
    assert "did not accept a test event, not signed (there are no signing_secrets): 401" in message


def test_a_webhook_with_a_broken_secret_is_not_called(admin, receiver):
    status, message = press(admin, "webhook", receiver.url, {"signing_secrets": ["hunter2"]})
    assert not status
    assert "is not 'whsec_'" in message
    assert "hunter2" not in message
    assert receiver.posts == []


@pytest.mark.parametrize("conn_type", ["http", "auth0", "webhook", "generic"])
def test_a_connections_type_makes_no_difference_to_a_route(conn_type, monkeypatch):
    from auth0_webhooks.connections.lookup import get_connection

    made = {"conn_type": conn_type, "host": "https://hooks.example.com/auth0", "login": "ada", "password": "x",
            "extra": {"signing_secrets": [SIGNING_SECRET], "X-Team": "blue"}}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_SOME", json.dumps(made))
    connection = get_connection("some")
    assert base_url(connection) == "https://hooks.example.com/auth0"
    endpoint = Endpoint.from_connection(connection)
    assert endpoint.headers["X-Team"] == "blue"
    assert endpoint.signer
