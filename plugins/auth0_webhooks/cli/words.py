"""What a route does, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from auth0_webhooks.filtering.api_endpoints import API_TYPES
from auth0_webhooks.filtering.log_types import LEVELS, levels, log_types
from auth0_webhooks.filtering.selection import BELOW_LEVEL, EXCLUDED
from auth0_webhooks.settings.route import Route


def sentences(route: Route, now: datetime) -> list[str]:
    """What a route reads, selects and sends, when it runs, and what happens if the webhook refuses.

    :param now: the time after which the next scheduled run is named (UTC).
    """
    return [*_reading(route, now), *_selecting(route), *_changing(route), *_sending(route), *_failing(route)]


def _reading(route: Route, now: datetime) -> Iterator[str]:
    first = {
        "oldest": "at the oldest event that the tenant still has",
        "now": "at the time of that run: older events are not sent",
    }.get(route.start_from_text, f"at {route.start_from_text}")
    yield f"Reads the log of the Auth0 tenant in connection {route.auth0_conn_id!r}. The first run starts {first}."
    following = route.next_tick(now)
    schedule = f"by the schedule {route.schedule!r} in UTC, next at {following:%Y-%m-%d %H:%M}" if following else ""
    if route.watch:
        yield f"Runs when the log has an event that it wants, which it looks for every {route.watch:g} s, and {schedule}."
    else:
        yield f"Runs only {schedule}, because watch is off."
    yield f"A run reads at most {route.max_logs_per_run:,} events; the next run starts at once if there are more."


def _selecting(route: Route) -> Iterator[str]:
    selection = route.selection
    level = f" of level {LEVELS[route.log_level]} or higher" if route.log_level else ""
    if route.wanted_types:
        reasons = {code: selection.reason_to_drop(code) for code in route.wanted_types}
        sent = [code for code, reason in reasons.items() if not reason]
        yield (
            f"Sends events of these log types: {_named(sent)}." if sent else "Sends nothing: no log type passes all its filters."
        )
        for reason, words in ((EXCLUDED, "in exclude_types"), (BELOW_LEVEL, f"below level {LEVELS[route.log_level]}")):
            if dropped := [code for code, why in reasons.items() if why == reason]:
                yield f"Does not send these, because they are {words}: {_named(dropped)}."
    else:
        passing = sum(level >= route.log_level and code not in route.exclude_types for code, level in levels().items())
        but = f", but never {_named(route.exclude_types)}" if route.exclude_types else ""
        yield f"Sends events of every log type{level}{but}: {passing} of the {len(levels())} known types, and types that are new."
    if route.api_endpoints:
        yield f"Of these, sends only calls to the Management API ({', '.join(API_TYPES)}): {_and(route.api_endpoints)} and below."
    if route.where:
        yield f"Of these, sends only events for which this is true: {route.where}"


def _changing(route: Route) -> Iterator[str]:
    words = {"mask": "masks {}", "drop": "drops {}", "pseudonym": "replaces {} by pseudonyms"}
    changes = [
        words[action].format(", ".join(path for path, what in route.redact.items() if what == action))
        for action in dict.fromkeys(route.redact.values())
    ]
    if changes:
        yield f"Before it sends an event, {_and(changes)}, also where the event repeats their values."


def _sending(route: Route) -> Iterator[str]:
    bodies = {
        "event": "one event per POST",
        "array": f"up to {route.max_events} events per POST as a JSON array of at most {route.max_bytes:,} bytes",
        "lines": f"up to {route.max_events} events per POST as JSON lines of at most {route.max_bytes:,} bytes",
    }
    envelopes = {
        "none": "",
        "standard": ", in the envelope of Standard Webhooks",
        "cloudevents": ", in the envelope of CloudEvents",
        "log_stream": ", in the envelope of Auth0's log streams",
    }
    envelope = f", each as this makes it: {route.body}" if route.body else envelopes[route.envelope]
    media_type = f", as {route.content_type}" if route.content_type else ""
    gzip = ", compressed" if route.gzip else ""
    most = "as many POSTs" if route.concurrent_calls == "auto" else f"up to {route.concurrent_calls} POSTs"
    as_it_takes = " as the webhook takes well" if route.concurrent_calls == "auto" else ""
    order = (
        "one POST at a time, in the order of the log"
        if route.concurrent_calls == 1
        else f"{most} at a time{as_it_takes}, so not always in the order of the log"
    )
    if route.max_per_second:
        order += f", at most {route.max_per_second:g} a second"
    public = ", only at a public address" if not route.allow_private_addresses else ""
    body = f"{bodies[route.payload]}{envelope}{media_type}{gzip}"
    yield f"POSTs to the webhook in connection {route.webhook_conn_id!r}{public}: {body}, {order}."


def _failing(route: Route) -> Iterator[str]:
    if route.on_reject == "stop":
        yield "If the webhook refuses an event, the run fails there, and later events wait until the webhook accepts it."
    else:
        place = route.dead_letter_path or "the folder auth0_webhook_dead_letters in $AIRFLOW_HOME"
        yield f"If the webhook refuses an event, stores it as a dead letter in {place} and continues."
    gap = "reports the gap and continues with the oldest event left" if route.on_gap == "go_on" else "the run fails"
    yield f"If events have left Auth0's log before they could be read, {gap}."
    if route.alarm_conn_id:
        yield (
            f"POSTs an alarm to connection {route.alarm_conn_id!r} if a run fails after its retries, or if an event waits for "
            f"longer than {route.alarm_lag_seconds:,} s."
        )
    else:
        yield "Sends no alarms, because alarm_conn_id is not set."


def _named(codes: Iterable[str]) -> str:
    """Log types with what they mean."""
    known = log_types()
    meanings = {code: known[code].description.partition(":")[0] if code in known else "not a known type" for code in codes}
    return ", ".join(f"{code} ({meaning})" for code, meaning in meanings.items())


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
