"""What an answer of the webhook means: one table from HTTP status to outcome."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from auth0_webhooks.model.checkpoint import Hold

if TYPE_CHECKING:
    from auth0_webhooks.payload.payload import Message

GONE_SECONDS = 3600.0
"""How long an endpoint that answers 410 gets no POST, in seconds."""
LONGEST_HOLD = 86_400.0
"""A hold never lasts longer than this, whatever Retry-After says: a day, in seconds."""


class Outcome(Enum):
    """What happens to an event after an answer."""

    DELIVERED = "delivered"
    FOR_NOW = "not accepted for now: retried"
    NOT_BEFORE = "gone for now: held for an hour"
    ENDPOINT_WRONG = "the endpoint is wrong: nothing more is sent"
    EVENT_REFUSED = "this event is refused"


# First match wins. Sources: RFC 9110 and 6585 (status codes), Standard Webhooks 1.0.0 ("Deliverability and reliability").
_TABLE: tuple[tuple[range | frozenset[int], Outcome], ...] = (
    (range(200, 300), Outcome.DELIVERED),
    (range(300, 400), Outcome.ENDPOINT_WRONG),  # redirects are never followed
    (frozenset({401, 403, 404, 405}), Outcome.ENDPOINT_WRONG),
    (frozenset({407, 511}), Outcome.ENDPOINT_WRONG),  # a proxy or a network asks for a login: the webhook never saw the event
    (frozenset({408, 425, 429}), Outcome.FOR_NOW),
    (range(500, 600), Outcome.FOR_NOW),
    (frozenset({410}), Outcome.NOT_BEFORE),
    (range(400, 500), Outcome.EVENT_REFUSED),
)

SLOW_DOWN = frozenset({429, 503})
"""Answers about the endpoint's load, not about one request: the whole run pauses."""

TOO_LARGE = frozenset({413})
"""Answers about a request's size: later POSTs are smaller."""


class Answer(NamedTuple):
    """The answer to one POST.

    ``status`` is None if there was no answer; ``reason`` is the reason phrase, or what went wrong.
    ``retry_after`` is in seconds; ``body`` holds the first characters of the answer, for the dead letter only. ``tries``
    counts the POSTs of the same message up to this answer.
    """

    status: int | None
    reason: str
    retry_after: float | None = None
    body: str = ""
    tries: int = 1

    def __str__(self) -> str:
        return self.reason if self.status is None else f"{self.status} {self.reason}".strip()


TOO_DEEP = frozenset({500, 502})
"""Answers of a webhook, or of its platform, that crashed on an event; a deeply nested event crashes it every time."""


def outcome_of(answer: Answer, message: Message | None = None) -> Outcome:
    """Look the answer up in the table; no answer, or a status that HTTP does not define, counts as "for now".

    :param message: what was sent: a webhook's parser may fail on one deeply nested event each time.
    """
    if answer.status in TOO_DEEP and message and message.deep:
        return Outcome.EVENT_REFUSED
    for statuses, outcome in _TABLE:
        if answer.status in statuses:
            return outcome
    return Outcome.FOR_NOW


def hold_of(answer: Answer, *, longer_than: float) -> Hold | None:
    """The hold that an answer asks for, if it is longer than ``longer_than`` seconds; 410 means an hour."""
    gone = outcome_of(answer) is Outcome.NOT_BEFORE
    wait = max(answer.retry_after or 0.0, GONE_SECONDS if gone else 0.0)
    if not gone and wait <= longer_than:
        return None
    until = datetime.now(timezone.utc) + timedelta(seconds=min(wait, LONGEST_HOLD))
    return Hold(until, f"webhook answered {answer}")
