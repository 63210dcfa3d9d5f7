"""What an answer of the webhook means: one table, from HTTP status to outcome."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple

from auth0_webhooks.model.checkpoint import Hold

GONE_SECONDS = 3600.0
"""How long an endpoint that answers 410 is left alone."""
LONGEST_HOLD = 86_400.0
"""No Retry-After silences a route for longer than a day."""


class Outcome(Enum):
    """What happens to an event after an answer."""

    DELIVERED = "delivered"
    FOR_NOW = "not taken for now: tried again"
    NOT_BEFORE = "gone for now: held for an hour"
    ENDPOINT_WRONG = "the endpoint is wrong: nothing more is sent"
    EVENT_REFUSED = "this event is refused"


# First match wins. Sources: RFC 9110 and 6585 (status codes), Standard Webhooks 1.0.0 ("Deliverability and reliability").
_TABLE: tuple[tuple[range | frozenset[int], Outcome], ...] = (
    (range(200, 300), Outcome.DELIVERED),
    (range(300, 400), Outcome.ENDPOINT_WRONG),  # redirects are never followed
    (frozenset({401, 403, 404, 405}), Outcome.ENDPOINT_WRONG),
    (frozenset({407, 511}), Outcome.ENDPOINT_WRONG),  # a proxy, or a network, asks for a login: the event was not looked at
    (frozenset({408, 425, 429}), Outcome.FOR_NOW),
    (range(500, 600), Outcome.FOR_NOW),
    (frozenset({410}), Outcome.NOT_BEFORE),
    (range(400, 500), Outcome.EVENT_REFUSED),
)

SLOW_DOWN = frozenset({429, 503})
"""Answers that are about the endpoint's load, not about one request: the whole run pauses."""

TOO_LARGE = frozenset({413})
"""Answers that are about a request's size: smaller ones are made from there on."""


class Answer(NamedTuple):
    """What came back for one POST.

    ``status`` is None when nothing came back; ``reason`` says in words what did (or what went wrong instead).
    ``retry_after`` is in seconds; ``body`` the first characters of the answer, for the dead letter only. ``tries`` counts
    the POSTs of the same message up to this answer.
    """

    status: int | None
    reason: str
    retry_after: float | None = None
    body: str = ""
    tries: int = 1

    def __str__(self) -> str:
        return self.reason if self.status is None else f"{self.status} {self.reason}".strip()


TOO_DEEP = frozenset({500, 502})
"""Answers of a webhook, or of what runs it, that broke over an event; where that is nested deeply, it will each time."""


def outcome_of(answer: Answer, *, deep: bool = False) -> Outcome:
    """Look the answer up in the table; no answer, or a status that HTTP does not know, counts as "for now".

    :param deep: the request was one event, so deeply nested that the webhook's parser may break over it.
    """
    if deep and answer.status in TOO_DEEP:
        return Outcome.EVENT_REFUSED
    for statuses, outcome in _TABLE:
        if answer.status in statuses:
            return outcome
    return Outcome.FOR_NOW


def hold_of(answer: Answer, *, longer_than: float) -> Hold | None:
    """How long an answer asks to be left alone, where that is longer than so many seconds; 410 asks for an hour."""
    gone = outcome_of(answer) is Outcome.NOT_BEFORE
    wait = max(answer.retry_after or 0.0, GONE_SECONDS if gone else 0.0)
    if not gone and wait <= longer_than:
        return None
    until = datetime.now(timezone.utc) + timedelta(seconds=min(wait, LONGEST_HOLD))
    return Hold(until, f"webhook answered {answer}")
