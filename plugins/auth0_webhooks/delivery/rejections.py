"""Handles events that the webhook refuses: set them aside, stop, or find out that the webhook refuses everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from auth0_webhooks.delivery.refusals import MOST_REFUSED, RefusalKeeper, Refusals, Refused
from auth0_webhooks.delivery.stalls import in_thread
from auth0_webhooks.errors import EndpointWrongError, EventRefusedError, WebhookRouteError
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.webhook.answers import Answer

if TYPE_CHECKING:
    from auth0_webhooks.model.events import LogEvent


class DeadLetters(Protocol):
    """Where refused events are set aside."""

    def put(self, event: LogEvent, answer: Answer, tries: int) -> None:
        """Store one event durably. Raises when it cannot."""


class Rejections:
    """The refused events of one delivery.

    :param name: the name of the endpoint in errors.
    :param store: where refused events are set aside; None stops the run at the first one.
    :param settled: called with the index of an event of the open batch once that event is set aside.
    :param storing: the lock around every request to Airflow: a task makes only one at a time.
    """

    def __init__(
        self,
        name: str,
        store: DeadLetters | None,
        keeper: RefusalKeeper,
        *,
        settled: Callable[[int], None],
        storing: asyncio.Lock,
    ) -> None:
        self._name, self._store, self._keeper, self._settled = name, store, keeper, settled
        self._refusals = Refusals()
        self._kept: tuple[str, ...] = ()
        self._storing = storing
        self._merged = 0

    async def load(self) -> None:
        """Load the refusals of earlier runs. Raises what the keeper raises."""
        self._kept = tuple(await in_thread(self._keeper.load))
        self._refusals = Refusals(self._kept)

    @property
    def probing(self) -> bool:
        """Whether the webhook is known to refuse everything."""
        return self._refusals.probing

    def forget_pending(self) -> None:
        """Start a new pass over the events."""
        self._refusals.forget_pending()

    def refused(self, index: int, event: LogEvent, answer: Answer, *, after: int) -> WebhookRouteError | None:
        """Record a refused event of the open batch; ``after`` POSTs had started when the answer arrived.

        :returns: the error that stops the run, or None.
        """
        refused = Refused(index, event, answer, after)
        self._refusals.add(refused)
        if self._store is None:
            return EventRefusedError(
                f"{self._what(refused)}; nothing after it is sent. Fix the webhook, or set the route's on_reject to "
                "dead_letter to store such events as dead letters"
            )
        return self._refuses_everything(refused) if self._refusals.is_the_endpoint else None

    @property
    def stops_at_first(self) -> bool:
        """Whether the run ends at the first event that cannot be delivered."""
        return self._store is None

    async def cannot_send(self, event: LogEvent, reason: Exception) -> None:
        """Set an event aside of which the route's settings make nothing to send. It neither counts as a refusal nor ends a row.

        :raises EventRefusedError: when the route sets nothing aside.
        """
        if self._store is None:
            raise EventRefusedError(
                f"event {event.log_id} (type {event.type!r}) cannot be sent: {reason}; nothing after it is sent. Change the "
                "route, or set its on_reject to dead_letter to store such events as dead letters"
            )
        await self.put(event, Answer(None, str(reason), tries=0))

    async def accepted(self, number: int) -> None:
        """Record that POST ``number`` was accepted, and set aside the events that were refused before it."""
        own = self._refusals.accepted(number)
        if self._kept:
            await self._keep(())
        if self._store:
            await self._set_aside(own)

    async def end_batch(self, *, stopped: bool) -> None:
        """Set the batch's refused events aside, unless the webhook refuses everything or the run was stopped.

        The consecutive refusals are stored first, so a crash in between neither counts one twice nor misses one.

        :raises EndpointWrongError: when the webhook refuses everything.
        """
        if stopped or not self.probing:
            await self._set_aside_pending(stopped=stopped)
        elif self._refusals.pending:
            raise self._refuses_everything(self._refusals.take_all()[-1])

    async def make_room(self) -> None:
        """Do the same as at the end of a batch, once no further acknowledgement beyond a refused event can be stored."""
        if not self.probing:
            await self._set_aside_pending()

    async def put(self, event: LogEvent, answer: Answer) -> None:
        """Set one event aside. Raises what the store raises."""
        if self._store:
            await in_thread(self._store.put, event, answer, answer.tries)

    def enough_to_probe(self, batches: Iterable[Batch], is_done: Callable[[LogEvent], bool]) -> Iterator[Batch]:
        """The batches; if the webhook refuses everything, the first ones are merged until they hold enough events for a probe.

        Otherwise, a first batch of one event that the webhook rightly refuses would keep the next batch from being tried.
        Each pass merges the same batches, because events are counted per batch.
        """
        batches = iter(batches)
        first, count = next(batches, None), 1
        if first is None:
            return

        def too_few(batch: Batch) -> bool:
            return self.probing and sum(not is_done(event) for event in batch.events) < MOST_REFUSED

        while count < self._merged if self._merged else too_few(first):
            following = next(batches, None)
            if following is None:
                break
            first, count = Batch(first.start, following.end, first.events + following.events), count + 1
        self._merged = count
        yield first
        yield from batches

    async def _set_aside_pending(self, *, stopped: bool = False) -> None:
        await self._keep(self._refusals.log_ids)
        if self._store and not stopped:
            await self._set_aside(self._refusals.take_all())

    async def _set_aside(self, refused: Iterable[Refused]) -> None:
        """Set one event aside; if that fails it stays refused, and the checkpoint does not pass it."""
        for each in refused:
            await self.put(each.event, each.answer)
            self._settled(each.place)

    async def _keep(self, log_ids: tuple[str, ...]) -> None:
        async with self._storing:
            if log_ids != self._kept:
                await in_thread(self._keeper.save, log_ids)
                self._kept = log_ids

    def _what(self, refused: Refused) -> str:
        event = refused.event
        return f"the webhook at {self._name} refuses event {event.log_id} (type {event.type!r}): {refused.answer}"

    def _refuses_everything(self, refused: Refused) -> EndpointWrongError:
        return EndpointWrongError(
            f"{self._what(refused)}, like the {MOST_REFUSED - 1} before it, and none was accepted; they do not become dead "
            f"letters. Check what the webhook answers: each scheduled run tries at most {MOST_REFUSED} events, and normal "
            "delivery resumes once one is accepted"
        )
