"""What a delivery does about events that the webhook refuses: set aside, stop, or find out that it refuses everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from auth0_webhooks.delivery.refusals import MOST_REFUSED, RefusalKeeper, Refusals, Refused
from auth0_webhooks.delivery.stalls import in_thread
from auth0_webhooks.errors import EndpointWrongError, EventRefusedError, WebhookRouteError
from auth0_webhooks.model.batch import Batch

if TYPE_CHECKING:
    from auth0_webhooks.model.events import LogEvent
    from auth0_webhooks.webhook.answers import Answer


class DeadLetters(Protocol):
    """Where refused events are set aside."""

    def put(self, event: LogEvent, answer: Answer, tries: int) -> None:
        """Store one event durably. Raises when it cannot."""


class Rejections:
    """The refused events of one delivery.

    :param name: what the endpoint is called in an error.
    :param store: where refused events are set aside; None stops the run at the first one.
    :param settled: called with the index of an event of the open batch once it is set aside.
    :param storing: held while something is stored in Airflow or read there, by whoever does: a task makes one such request at
        a time.
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
        """Take up what former runs have counted. Raises what the keeper raises."""
        self._kept = tuple(await in_thread(self._keeper.load))
        self._refusals = Refusals(self._kept)

    @property
    def probing(self) -> bool:
        """Whether the webhook refuses everything, as far as is known."""
        return self._refusals.probing

    def forget_pending(self) -> None:
        """A new pass over the events begins."""
        self._refusals.forget_pending()

    def refused(self, index: int, event: LogEvent, answer: Answer, *, after: int) -> WebhookRouteError | None:
        """An event of the open batch was refused when ``after`` POSTs had begun.

        :returns: why nothing more may be sent, where that is so.
        """
        refused = Refused(index, event, answer, after)
        self._refusals.add(refused)
        if self._store is None:
            return EventRefusedError(
                f"{self._what(refused)}; nothing after it is sent. Mend the webhook, or set the route's on_reject to "
                "dead_letter to set such events aside"
            )
        return self._refuses_everything(refused) if self._refusals.is_the_endpoint else None

    async def accepted(self, number: int) -> None:
        """The POST ``number`` was accepted: what was refused before it is the events' own fault, and is set aside."""
        own = self._refusals.accepted(number)
        if self._kept:
            await self._keep(())
        if self._store:
            await self._set_aside(own)

    async def end_batch(self, *, stopped: bool) -> None:
        """What is refused by the end of a batch is set aside, unless the webhook refuses everything or the run is stopped.

        How many were refused in a row is kept before that: a crash in between counts none twice, and none too few.

        :raises EndpointWrongError: when the webhook refuses everything.
        """
        if stopped or not self.probing:
            await self._set_aside_pending(stopped=stopped)
        elif self._refusals.pending:
            raise self._refuses_everything(self._refusals.take_all()[-1])

    async def make_room(self) -> None:
        """As at the end of a batch, where no acknowledgement beyond a refused event could be remembered."""
        if not self.probing:
            await self._set_aside_pending()

    async def put(self, event: LogEvent, answer: Answer) -> None:
        """Set one event aside. Raises what the store raises."""
        if self._store:
            await in_thread(self._store.put, event, answer, answer.tries)

    def enough_to_probe(self, batches: Iterable[Batch], is_done: Callable[[LogEvent], bool]) -> Iterator[Batch]:
        """The batches; of a webhook that refuses everything the first ones in one, with as many events as a probe sends.

        Else a single event in the first batch, which is refused for its own sake, would keep those of the next from being
        tried. Passes over the same batches put the same ones together, since their events are counted by batch.
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
        """One that cannot be set aside stays refused, and nothing passes it."""
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
            f"{self._what(refused)}, like the {MOST_REFUSED - 1} before it, and none was accepted; they are not set aside. Look "
            f"at what the webhook answers: each scheduled run tries at most {MOST_REFUSED} events, and all goes on once one is "
            "accepted"
        )
