"""The words of the page, which are in JavaScript: each call is made in Deno, all of them by one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

WORDS = PROJECT / "plugins" / "auth0_webhooks" / "page" / "static" / "words.js"
NOW = "'2026-11-22T12:00:00.000Z'"
CASES = [
    ("count(0, 'event')", "0 events"),
    ("count(1, 'event')", "1 event"),
    ("count(1234, 'event')", "1,234 events"),
    ("count(1, 'try', 'tries')", "1 try"),
    ("count(2, 'try', 'tries')", "2 tries"),
    ("number(null)", "0"),
    ("share(0, 9)", "0 %"),
    ("share(0, 0)", "0 %"),
    ("share(1, 1000)", "under 1 %"),
    ("share(1, 8)", "13 %"),
    ("share(999, 1000)", "over 99 %"),
    ("share(3, 3)", "100 %"),
    ("time('2026-11-22T10:00:00.123Z')", "2026-11-22 10:00:00 UTC"),
    ("time(null)", "never"),
    ("day(Date.parse('2026-11-05T00:00:00Z') / 1000)", "5 Nov"),
    ("hour(Date.parse('2026-11-05T03:00:00Z') / 1000)", "03:00"),
    ("period('2026-11-05T03:00:00.000Z', '2026-11-05T04:00:00.000Z')", "2026-11-05 03:00 to 04:00"),
    ("period('2026-11-05T18:00:00.000Z', '2026-11-06T00:00:00.000Z')", "2026-11-05 18:00 to 24:00"),
    ("compact(20)", "20"),
    ("compact(1500)", "1.5K"),
    ("spot({log_id: '9', date: '2026-11-22T10:00:00.123Z'})", "9 (2026-11-22 10:00:00 UTC)"),
    ("spot({log_id: null, date: '2026-11-22T10:00:00.123Z'})", "2026-11-22 10:00:00 UTC"),
    ("span(null)", "not known"),
    ("span(0)", "none"),
    ("span(0.9)", "none"),
    ("span(1)", "1 second"),
    ("span(59.9)", "59 seconds"),
    ("span(60)", "1 minute"),
    ("span(3599)", "59 minutes"),
    ("span(3600)", "1 hour"),
    ("span(3660)", "1 hour 1 minute"),
    ("span(7320)", "2 hours 2 minutes"),
    ("span(86399)", "23 hours 59 minutes"),
    ("span(86400 + 1800)", "1 day"),
    ("span(30 * 86400 - 1)", "29 days 23 hours"),
    ("every(1)", "every second"),
    ("every(5)", "every 5 seconds"),
    ("every(60)", "every minute"),
    ("every(5400)", "every 1 hour 30 minutes"),
    (f"ago('2026-11-22T11:59:59.500Z', {NOW})", "just now"),
    (f"ago('2026-11-22T11:58:59.000Z', {NOW})", "1 minute ago"),
    (f"ago('2026-11-22T12:05:00.000Z', {NOW})", "in 5 minutes"),
    (f"ago(null, {NOW})", "never"),
    (f"lasting('2026-11-22T11:00:00.000Z', {NOW})", "1 hour"),
    (f"lasting('2026-11-22T12:00:00.000Z', {NOW})", "1 second"),
    (f"since('2026-11-22T10:00:00.000Z', {NOW})", "2026-11-22 10:00:00 UTC, 2 hours ago"),
    ("verdict([])", "There are no routes here that you may see."),
    ("verdict(routes('well'))", "The one route is healthy."),
    ("verdict(routes('failing'))", "The one route is unhealthy."),
    ("verdict(routes('well', 'well'))", "All 2 routes are healthy."),
    ("verdict(routes('gap', 'held'))", "All 2 routes are unhealthy."),
    ("verdict(routes('well', 'waiting'))", "1 of 2 routes is unhealthy."),
    ("verdict(routes('well', 'waiting', 'failing'))", "2 of 3 routes are unhealthy."),
    ("verdict(routes('new'))", "The one route has not run yet."),
    ("verdict(routes('well', 'new'))", "1 of 2 routes is healthy. 1 has not run yet."),
    ("verdict(routes('new', 'new', 'failing'))", "1 of 3 routes is unhealthy. 2 have not run yet."),
    ("verdict([...routes('well'), {state: {code: 'well'}, paused: true}])", "All 2 routes are healthy. 1 is paused."),
    ("left({api_limit: 1000, api_remaining: 39, api_rate: 50 / 60})", "39 of 1,000 left, 50 a minute"),
    ("left({api_limit: 50, api_remaining: 0, api_rate: null})", "0 of 50 left"),
    ("left({api_limit: 50, api_remaining: null, api_rate: 0.001})", "under 1 a minute"),
    ("left({})", ""),
]
"""A call, and what it says."""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each call says."""
    folder = tmp_path_factory.mktemp("deno")
    script = folder / "calls.mjs"
    script.write_text(
        f"import * as words from {json.dumps(WORDS.as_uri())};\n"
        "Object.assign(globalThis, words);\n"
        "globalThis.routes = (...codes) => codes.map((code) => ({ state: { code }, paused: false }));\n"
        f"console.log(JSON.stringify({json.dumps([call for call, _ in CASES])}.map((call) => globalThis.eval(call))));\n",
        encoding="utf-8",
    )
    deno = Path(sys.executable).with_name("deno")
    done = subprocess.run(
        [deno, "run", "--no-config", "--no-remote", "--quiet", script],
        env={**os.environ, "DENO_DIR": str(folder), "DENO_NO_UPDATE_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip((call for call, _ in CASES), json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("call", "words"), CASES)
def test_counts_times_and_states_are_said_as_people_say_them(said, call, words):
    assert said[call] == words
