"""What a route's failure is called; that it is told is in test_runs.py."""

from __future__ import annotations

import pytest

from auth0_webhooks.errors import EndpointHeldError, EndpointWrongError
from auth0_webhooks.operators.alarm import _failure, _problem
from auth0_webhooks.settings.route import Route


@pytest.mark.parametrize(
    ("exception", "problem"),
    [
        (EndpointWrongError("mend it"), "failed: mend it"),
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
