"""``python -m auth0_webhooks show``: what each route does, in sentences."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from auth0_webhooks.cli.commands import main
from auth0_webhooks.cli.words import sentences
from auth0_webhooks.filtering.log_types import log_types
from auth0_webhooks.settings.route import Route
from auth0_webhooks.settings.routes_file import load_routes
from tests.conftest import PROJECT

NOW = datetime(2026, 11, 22, 10, 1, tzinfo=timezone.utc)


DEFAULTS = """
Reads the log of the Auth0 tenant in connection 'auth0_default'. The first run starts at the oldest event that the tenant still
has.
Runs when the log has an event that it wants, which it looks for every 3 s, and by the schedule '*/5 * * * *' in UTC, next at
2026-11-22 10:05.
A run reads at most 20,000 events; the next run starts at once if there are more.
Sends events of every log type, but never sapi (Success API Operation), fapi (Failed API Operation): {known} known types, and
types that are new.
POSTs to the webhook in connection 'webhook_default': one event per POST, up to 5 POSTs at a time, so not always in the order of
the log.
If the webhook refuses an event, the run fails there, and later events wait until the webhook accepts it.
If events have left Auth0's log before they could be read, reports the gap and continues with the oldest event left.
Sends no alarms, because alarm_conn_id is not set.
"""
ELABORATE = """
Reads the log of the Auth0 tenant in connection 'auth0_default'. The first run starts at 2026-11-01T00:00:00.000Z.
Runs only by the schedule '*/5 * * * *' in UTC, next at 2026-11-22 10:05, because watch is off.
A run reads at most 20,000 events; the next run starts at once if there are more.
Sends events of these log types: neww (not a known type), fs (Failed Signup).
Does not send these, because they are in exclude_types: sapi (Success API Operation).
Does not send these, because they are below level warning: s (Success Login), ss (Success Signup).
Of these, sends only events for which this is true: connection == 'Users'
Before it sends an event, masks user_data, **.email and drops ip, also where the event repeats their values.
POSTs to the webhook in connection 'webhook_default', only at a public address: up to 100 events per POST as JSON lines of at most
1,000,000 bytes, in the envelope of CloudEvents, compressed, one POST at a time, in the order of the log.
If the webhook refuses an event, stores it as a dead letter in s3://c@b/f and continues.
If events have left Auth0's log before they could be read, the run fails.
POSTs an alarm to connection 'chat' if a run fails after its retries, or if an event waits for longer than 900 s.
"""


def words(text):
    return " ".join(text.split())


def test_a_route_at_its_defaults():
    known = f"{len(log_types()) - 2} of the {len(log_types())}"
    assert " ".join(sentences(Route(name="r"), NOW)) == words(DEFAULTS.format(known=known))


def test_a_route_that_sets_nearly_everything():
    route = Route(
        name="r", start_from="2026-11-01T00:00:00Z", watch="off", log_types=["s", "sapi", "neww"], include_types=["auth.signup"],
        log_level="warning", where="connection == 'Users'", redact={"user_data": "mask", "ip": "drop", "**.email": "mask"},
        payload="lines", gzip=True, envelope="cloudevents", concurrent_calls=1, allow_private_addresses=False,
        on_reject="dead_letter", dead_letter_path="s3://c@b/f", on_gap="stop", alarm_conn_id="chat",
    )  # fmt: skip
    assert " ".join(sentences(route, NOW)) == words(ELABORATE)


def test_a_body_and_its_media_type_are_shown():
    shown = " ".join(sentences(Route(name="r", body="{text: description}", content_type="text/x"), NOW))
    assert "one event per POST, each as this makes it: {text: description}, as text/x, up to 5 POSTs at a time" in shown


def test_the_pace_is_shown():
    shown = " ".join(sentences(Route(name="r", concurrent_calls="auto", max_per_second=0.5), NOW))
    assert (
        "as many POSTs at a time as the webhook takes well, so not always in the order of the log, at most 0.5 a second." in shown
    )


def test_the_docs_show_what_the_route_of_readme_does(tmp_path):
    (tmp_path / "routes.yaml").write_text(
        re.search(r"```yaml\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1], encoding="utf-8"
    )
    (route,) = load_routes(tmp_path / "routes.yaml")[0]
    shown = "".join(f"  {sentence}\n" for sentence in sentences(route, NOW))
    assert f"user_blocked (dags/webhook_routes.yaml:2)\n{shown}```" in (PROJECT / "docs/check.md").read_text(encoding="utf-8")


def test_a_filter_that_nothing_passes_is_said():
    assert "Sends nothing: no log type passes all its filters." in sentences(Route(name="r", log_types=["sapi"]), NOW)


def test_the_routes_of_files_are_shown_with_their_places_and_mistakes_are_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text("routes:\n  a: {}\n  b: {gzip: 5}\n", encoding="utf-8")
    (tmp_path / "two.yaml").write_text("routes:\n\n  c: {}\n", encoding="utf-8")
    assert main(["show", "two.yaml"]) == 0
    assert main(["show", "one.yaml", "two.yaml"]) == 1
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if line and line[0] != " "] == [
        "c (two.yaml:3)", "a (one.yaml:2)", "c (two.yaml:3)",
    ]  # fmt: skip
    assert printed.err.startswith("one.yaml:3: route 'b': key 'gzip'")
