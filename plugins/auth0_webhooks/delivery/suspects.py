"""An event that the webhook neither takes nor refuses: whether it is the event, or the webhook.

It is found out by sending the event alone, and then some that come after it: if one of those is accepted, it is the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from auth0_webhooks.errors import EndpointUnavailableError
from auth0_webhooks.webhook.answers import Answer, Outcome, outcome_of

if TYPE_CHECKING:
    import aiohttp

    from auth0_webhooks.model.batch import Batch
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.payload.payload import Payload
    from auth0_webhooks.webhook.posting import Posting

LATER = 5
"""So many events after a suspect are tried, once each."""


class Place(NamedTuple):
    """An event, the number and the size of the batch that holds it, and its index there."""

    batch: int
    size: int
    at: int
    event: LogEvent


class Verdict(NamedTuple):
    """What was found out. ``accepted`` is the suspect itself, or a later event; then ``at_fault`` is the suspect.

    ``answer`` is the suspect's last one.
    """

    accepted: Place | None = None
    at_fault: Place | None = None
    answer: Answer | None = None


async def try_suspect(
    session: aiohttp.ClientSession, posting: Posting, payload: Payload, unfinished: Iterator[Place], log_id: str
) -> Verdict:
    """Send the suspect alone, then up to ``LATER`` events after it until one is accepted.

    :param unfinished: the events that still need work, in the order of the log.
    :param log_id: of the suspect; where it is not the first of them any more, nothing is sent.
    :raises EndpointUnavailableError: when the webhook takes none of them: that of the suspect.
    :raises WebhookRouteError: what :meth:`Posting.post` raises of an endpoint that is wrong, or that asks for a pause.
    """
    suspect = next(unfinished, None)
    if suspect is None or suspect.event.log_id != log_id:
        return Verdict()
    try:
        answer, _ = await posting.post(session, payload.message([suspect.event]))
    except EndpointUnavailableError as error:
        unavailable = error
        unavailable.first = (suspect.event.log_id, suspect.event.type)
    else:
        delivered = answer is not None and outcome_of(answer) is Outcome.DELIVERED
        # Refused, it is handled like any other.
        return Verdict(accepted=suspect) if delivered else Verdict()
    for _, place in zip(range(LATER), unfinished, strict=False):
        try:
            answer, _ = await posting.post(session, payload.message([place.event]), seconds=0.0)
        except EndpointUnavailableError:
            continue
        if answer is None:
            return Verdict()
        if outcome_of(answer) is Outcome.DELIVERED:
            return Verdict(place, suspect, unavailable.answer)
    raise unavailable


def places(batches: Iterable[Batch], is_done: Callable[[LogEvent], bool]) -> Iterator[Place]:
    """The events of a run's batches that still need work."""
    for number, batch in enumerate(batches):
        for index, event in enumerate(batch.events):
            if not is_done(event):
                yield Place(number, len(batch.events), index, event)
