"""Runs of a route whose tenant's rate limit is used up, on a real Airflow database."""

from __future__ import annotations

import pytest

from simulation.tenant_limits import Bucket
from tests.support.runner import asset_events, recovered, wanted

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("connections")]
NEVER = 1e9
"""Seconds of a window that does not end while a test runs."""


def test_a_run_that_has_used_its_share_delivers_what_it_read_and_asks_for_the_next_which_reads_the_rest(route, tenant, receiver):
    tenant.log_token_requests = False
    tenant.add_many(900)
    bucket = tenant.bucket = Bucket(10, 10, NEVER, "window")
    assert route.run() == "success"
    report = route.report
    assert (report["stopped"], report["api_requests"], report["api_limit"], report["api_remaining"]) == ("rate limit", 7, 10, 3)
    assert report["lag_seconds"] > 0
    assert len(asset_events(route, f"{route.name}_new_events")) == 1
    assert (bucket.limited, bucket.warned) == (0, 0)
    recovered(tenant)
    assert route.run() == "success"
    assert (route.report["stopped"], route.report["lag_seconds"]) == (None, 0)
    assert sorted(receiver.accepted) == wanted(tenant)
    assert receiver.repeats == 0


def test_a_run_that_may_send_no_request_is_no_failure_moves_nothing_and_starts_no_other(route, tenant, receiver):
    tenant.log_token_requests = False
    tenant.add_many(5)
    tenant.bucket = Bucket(10, 10, NEVER, "window", left=5)
    assert route.run() == "success"
    asked, checkpoint, posts = len(asset_events(route, f"{route.name}_new_events")), route.stored_checkpoint, len(receiver.posts)
    tenant.requests.clear()
    tenant.add("f")
    assert route.run() == "success"
    assert (route.report["read"], route.report["stopped"]) == (0, "rate limit")
    assert route.report["outcome"].startswith("nothing was read: the tenant's rate limit is used up")
    assert (len(asset_events(route, f"{route.name}_new_events")), route.stored_checkpoint) == (asked, checkpoint)
    assert (len(receiver.posts), tenant.requests) == (posts, {})
