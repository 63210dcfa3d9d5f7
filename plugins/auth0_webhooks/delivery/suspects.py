"""An event that the webhook neither accepts nor refuses: finds out whether the event or the webhook is at fault.

The event is sent alone, then some later ones: if the webhook accepts one of those, the event is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from auth0_webhooks.errors import EndpointUnavailableError
from auth0_webhooks.payload.body import NoBodyError
from auth0_webhooks.webhook.answers import Answer, Outcome, outcome_of

if TYPE_CHECKING:
    from auth0_webhooks.model.batch import Batch
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.payload.payload import Payload
    from auth0_webhooks.webhook.client import Client
    from auth0_webhooks.webhook.posting import Posting

LATER = 5
"""How many events after a suspect are tried, once each."""


class Place(NamedTuple):
    """An event, the number and the size of the batch that holds it, and its index there."""

    batch: int
    size: int
    at: int
    event: LogEvent


class Verdict(NamedTuple):
    """The result. ``accepted`` is the suspect itself, or a later event; if a later one, ``at_fault`` is the suspect.

    ``answer`` is the last answer to the suspect.
    """

    accepted: Place | None = None
    at_fault: Place | None = None
    answer: Answer | None = None


async def try_suspect(session: Client, posting: Posting, payload: Payload, unfinished: Iterator[Place], log_id: str) -> Verdict:
    """Send the suspect alone, then up to ``LATER`` events after it until one is accepted.

    :param unfinished: the events that still need work, in the order of the log.
    :param log_id: the suspect's; if it is no longer the first unfinished event, nothing is sent.
    :raises EndpointUnavailableError: the suspect's, when the webhook accepts none of them.
    :raises WebhookRouteError: what :meth:`Posting.post` raises when the endpoint is wrong or asks for a pause.
    """
    suspect = next(unfinished, None)
    if suspect is None or suspect.event.log_id != log_id:
        return Verdict()
    try:
        answer, _ = await posting.post(session, payload.message([suspect.event]))
    except NoBodyError:
        return Verdict()
    except EndpointUnavailableError as error:
        unavailable = error
        unavailable.first = (suspect.event.log_id, suspect.event.type)
    else:
        delivered = answer is not None and outcome_of(answer) is Outcome.DELIVERED
        # A refused suspect is handled like any other refused event.
        return Verdict(accepted=suspect) if delivered else Verdict()
    for _, place in zip(range(LATER), unfinished, strict=False):
        try:
            answer, _ = await posting.post(session, payload.message([place.event]), seconds=0.0)
        except (EndpointUnavailableError, NoBodyError):
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
