"""What a route's failure is called; that it is told is in test_runs.py."""

from __future__ import annotations

import json

import pytest

from auth0_webhooks.connections.fields import WEBHOOK_SECRETS
from auth0_webhooks.connections.provider import get_provider_info
from auth0_webhooks.errors import EndpointHeldError, EndpointWrongError
from auth0_webhooks.operators.alarm import _failure, _problem, secrets_in
from auth0_webhooks.settings.route import Route


@pytest.mark.parametrize(
    ("exception", "problem"),
    [
        (EndpointWrongError("fix it"), "failed: fix it"),
        (EndpointHeldError("until then"), "held: until then"),
        (ValueError("ada@example.com"), "failed: ValueError"),
        ("what Airflow says of a killed task", "failed: its task was killed"),
        (None, "failed: its task was killed"),
    ],
)
def test_a_failure_is_never_taken_for_well_and_shows_no_event(exception, problem):
    assert _failure(exception) == problem


def test_a_run_that_succeeded_can_still_be_bad():
    route = Route(name="r")
    assert _problem({"outcome": "everything wanted was delivered", "lag_seconds": 900}, route) is None
    assert _problem({"outcome": "held until x"}, route) == "held until x"
    assert _problem({"lag_seconds": 901}, route) == "events have been waiting for 901 s"


SIGNING = "whsec_b25seSBmb3IgdGhpcyB0ZXN0LCAzMiBieXRlcy4uLi4="
PSEUDONYMS = "a-long-key-of-a-webhook-for-its-pseudonyms"


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"signing_secrets": [SIGNING]}, {"signing secrets"}),
        ({"signing_secrets": SIGNING}, {"signing secrets"}),
        ({"signing_secrets": "of another kind"}, {"signing secrets"}),
        ({"X-Signing-Secret": "of another kind"}, {"signing secrets"}),
        ({"body_secrets": {"routing_key": "k"}}, {"body secrets"}),
        ({"pseudonym_secret": PSEUDONYMS}, {"a pseudonym secret"}),
        ({"PSEUDONYM_SECRET": PSEUDONYMS}, {"a pseudonym secret"}),
        ({"X-Pseudonym-Secret": PSEUDONYMS}, {"a pseudonym secret"}),
        ({"old pseudonymSecret 2025": {"b": [PSEUDONYMS]}}, {"a pseudonym secret"}),
        ({"headers": {"x-pseudonym-secret": PSEUDONYMS}}, {"a pseudonym secret"}),
        ({"headers": json.dumps({"X-Pseudonym-Secret": PSEUDONYMS})}, {"a pseudonym secret"}),
        ({"headers": {"X-Old": f"{SIGNING}, {SIGNING}"}}, {"signing secrets"}),
        ({"X-Keys": ["a", {"b": SIGNING.replace("whsec", "WHSEC")}]}, {"signing secrets"}),
        ({f"X-{SIGNING}": True}, {"signing secrets"}),
        ({"signing_secrets": [SIGNING], "pseudonym_secret": PSEUDONYMS}, {"signing secrets", "a pseudonym secret"}),
    ],
)
def test_a_webhooks_secrets_are_found_wherever_they_are_in_an_extra_and_however_spelled(extra, found):
    assert set(secrets_in(extra)) == found


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"Authorization": "Bearer x", "X-Api-Key": "{y", "X-Secret": "[z", "Content-Type": "application/json"},
        {"headers": {"X-Signature": "a", "X-Hook-Signing-Key": "b", "X-Client-Secret": "c"}, "verify": True, "timeout": 5},
        {"signing_secrets": None, "pseudonym_secret": None},
        {"signing_secrets": [], "pseudonym_secret": "", "headers": {}},
    ],
    ids=["nothing", "headers", "more headers", "form left empty", "form emptied"],
)
def test_an_ordinary_extra_holds_none(extra):
    assert list(secrets_in(extra)) == []


@pytest.mark.parametrize("key", WEBHOOK_SECRETS)
@pytest.mark.parametrize("spelled", [str, str.upper, lambda key: "X-" + key.replace("_", "-").title(), lambda key: key + "_2025"])
def test_every_key_that_holds_a_secret_of_a_webhook_is_known(key, spelled):
    assert list(secrets_in({spelled(key): "a secret of no known form"})) == [WEBHOOK_SECRETS[key]]


def test_every_secret_that_the_form_of_a_webhook_asks_for_has_a_known_key():
    (form,) = [kind["conn-fields"] for kind in get_provider_info()["connection-types"] if kind["connection-type"] == "webhook"]
    asked = {key for key, field in form.items() if "secret" in key or field["schema"].get("format") == "password"}
    assert asked == set(WEBHOOK_SECRETS)
