"""Delivery of a run's events: at least once, nearly always exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from auth0_webhooks.delivery.checkpoint_keeper import CheckpointKeeper, CheckpointMovedError
from auth0_webhooks.delivery.progress import MOST_UNSAVED, Progress, State
from auth0_webhooks.delivery.refusals import NotKept, RefusalKeeper
from auth0_webhooks.delivery.rejections import DeadLetters, Rejections
from auth0_webhooks.delivery.saving import Saving
from auth0_webhooks.delivery.stalls import Idle, in_thread, next_few, stalled, together
from auth0_webhooks.delivery.suspects import LATER, places, try_suspect
from auth0_webhooks.errors import (
    DeliveryStalledError,
    DeliveryStoppedError,
    EndpointUnavailableError,
    SupersededError,
)
from auth0_webhooks.model.checkpoint import Checkpoint
from auth0_webhooks.payload.body import NoBodyError
from auth0_webhooks.payload.payload import Payload
from auth0_webhooks.waits import WAITS, Waits
from auth0_webhooks.webhook.answers import TOO_LARGE, Outcome, outcome_of
from auth0_webhooks.webhook.pacing import Pace
from auth0_webhooks.webhook.posting import Figures, Posting

if TYPE_CHECKING:
    from auth0_webhooks.model.batch import Batch
    from auth0_webhooks.model.events import LogEvent, Position
    from auth0_webhooks.webhook.client import Client
    from auth0_webhooks.webhook.endpoint import Endpoint

SAVED_EARLY = MOST_UNSAVED * 4 // 5
"""From so many unsaved acknowledgements on, a save is due at once: the next events then need not wait until it is done."""

Item = TypeVar("Item")


class Delivery:
    """Delivers the batches of one run to one endpoint, and moves the checkpoint over acknowledged events.

    :param start: the checkpoint from which fetch read; ``first`` means that none was stored then.
    :param end: the position after everything that fetch read.
    :param by_time: the events belong to a window and are sorted by date.
    :param payload: how events are put into POSTs; it must match the ``Content-Type`` header of the endpoint.
    :param dead_letters: where to set refused events aside; None stops the run at the first one.
    :param refusals: stores the consecutive refusals between runs; leave it out for a window, which does not count for the
        route's health.
    :param suspect: the log id of the event at which earlier runs failed: if it is still the first one, the delivery sends it
        alone, and sets it aside if the webhook accepts a later one.
    :param note: called with each event that is delivered or set aside, and which of the two.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keeper: CheckpointKeeper,
        *,
        start: Position,
        end: Position,
        first: bool = False,
        by_time: bool = False,
        payload: Payload = Payload(),  # noqa: B008 - it cannot change
        concurrent_calls: int | Literal["auto"] = 5,
        max_per_second: float | None = None,
        dead_letters: DeadLetters | None = None,
        refusals: RefusalKeeper | None = None,
        suspect: str | None = None,
        note: Callable[[LogEvent, State], None] = lambda _event, _state: None,
        waits: Waits = WAITS,
    ) -> None:
        self.figures = Figures()
        self.progress = Progress(Checkpoint(start), by_time=by_time, most_outstanding=payload.most_outstanding, note=note)
        self._start, self._end = start, end
        self._payload, self._fits = payload, payload.max_bytes
        self._waits, self._suspect = waits, suspect
        self._error: BaseException | None = None
        self._storing = asyncio.Lock()
        self._saving = Saving(
            keeper,
            self.progress,
            self.figures,
            start=start,
            first=first,
            by_time=by_time,
            storing=self._storing,
            failed=self._fail,
            saved=self._saved,
        )
        self._rejections = Rejections(
            endpoint.name, dead_letters, refusals or NotKept(), settled=self._set_aside, storing=self._storing
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped, self._killed = asyncio.Event(), asyncio.Event()
        self._room = asyncio.Event()
        self._pace = Pace(concurrent_calls, max_per_second, self._stopped)
        self._posting = Posting(endpoint, self.figures, self._pace, on_hold=keeper.on_hold, waits=waits)
        self._idle = Idle(waits.stalled, time.monotonic())

    def run(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Deliver everything, or raise the first error that prevented it.

        :param batches: returns the run's batches from the first on; called again if someone moved the checkpoint within them.
        :raises WebhookRouteError: its class says what to do; everything acknowledged by then is saved.
        """
        try:
            asyncio.run(self._run(batches))
        finally:
            self._loop = None

    def stop(self, reason: str | DeliveryStalledError) -> None:
        """Stop soon: start no new POST, wait briefly for those in flight, save. Safe to call from a signal handler."""
        error = DeliveryStoppedError(reason) if isinstance(reason, str) else reason
        if self._loop:
            self._loop.call_soon_threadsafe(self._killed.set)
            self._loop.call_soon_threadsafe(self._fail, error)
        else:
            self._error = self._error or error

    async def _run(self, batches: Callable[[], Iterable[Batch]]) -> None:
        self._loop = asyncio.get_running_loop()
        if self._error:
            raise self._error  # asked to stop before it started
        self._idle.settled(time.monotonic())
        watch = asyncio.create_task(self._watch_for_stall())
        work, killed = asyncio.create_task(self._work_through(batches)), asyncio.create_task(self._killed.wait())
        try:
            await asyncio.wait([work, killed], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.wait([work], timeout=self._waits.kill_grace + self._waits.last_save)
            if not work.done():  # a hanging thread cannot be stopped, so it is abandoned
                work.cancel()
                await asyncio.wait([work])
        finally:
            watch.cancel()
            killed.cancel()
        if work.cancelled() and self._error:
            raise self._error
        work.result()

    async def _watch_for_stall(self) -> None:
        while (left := self._idle.left(time.monotonic(), self._pace.not_before)) > 0:  # noqa: ASYNC110 - it moves meanwhile
            await asyncio.sleep(left)
        self.stop(stalled(self._waits.stalled, self._posting.endpoint.name))

    async def _work_through(self, batches: Callable[[], Iterable[Batch]]) -> None:
        async with self._posting.endpoint.session(self._pace.most) as session:
            await self._rejections.load()
            found = await self._saving.load()
            while self._saving.adopt(found):
                self._rejections.forget_pending()
                try:
                    await self._deliver_all(session, batches)
                    return
                except CheckpointMovedError as moved:
                    found = moved.found
                self._stopped.clear()
            # Nothing is left to do. But if the batches are gone, this run must not look as if it had delivered them.
            await in_thread(lambda: next(iter(batches()), None))

    @property
    def stored(self) -> Position | None:
        """The position that is stored, as far as this delivery knows."""
        return self._saving.stored.position if self._saving.stored else None

    async def _deliver_all(self, session: Client, batches: Callable[[], Iterable[Batch]]) -> None:
        saver = None
        try:
            if self._suspect:
                await self._all([self._try_suspect(session, self._suspect, batches)])
            saver = asyncio.create_task(self._saving.go_on())
            await self._deliver_batches(session, batches)
        finally:
            if saver:
                self._saving.end()
                await saver
            await self._saving.save()
        if error := self._error or self._saving.moved:
            if isinstance(error, EndpointUnavailableError) and (event := self.progress.first_missing()):
                error.first = (event.log_id, event.type)
            raise error

    async def _deliver_batches(self, session: Client, batches: Callable[[], Iterable[Batch]]) -> None:
        if self._stopped.is_set():
            return
        left = enumerate(self._rejections.enough_to_probe(batches(), self.progress.is_done))
        while following := await self._next(left):
            number, batch = following[0]
            self.progress.open(number, batch, self._payload.groups(batch.events))
            self._saving.due()
            await self._all([self._work(session) for _ in range(self._pace.most)])
            if not self._killed.is_set():  # once killed, there is only time to save the checkpoint
                await self._all([self._rejections.end_batch(stopped=self._stopped.is_set())])
            if self._stopped.is_set():
                return
        if following is not None:
            self.progress.close(self._start, self._end)

    async def _next(self, batches: Iterator[Item]) -> list[Item] | None:
        """A list with the next batch, empty after the last; None if it cannot be read or the run stops first."""
        found: list[list[Item]] = []

        async def read() -> None:
            found.append(await next_few(batches, 1, self._storing))

        await self._all([read()])
        return found[0] if found and not self._stopped.is_set() else None

    async def _all(self, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
        await together(map(self._or_fail, jobs), self._killed, self._waits.kill_grace)

    async def _or_fail(self, job: Coroutine[Any, Any, None]) -> None:
        """Let any error stop the run: after a batch that was not finished, the next one never starts."""
        try:
            await job
        except Exception as error:  # noqa: BLE001 - it is raised when the run has ended
            self._fail(error)

    async def _work(self, session: Client) -> None:
        while not self._stopped.is_set():
            async with self._pace.permit:
                self._room.clear()
                if group := self.progress.take(beyond_full=self._rejections.probing):
                    try:
                        await self._deliver(session, group)
                    except Exception as error:  # noqa: BLE001 - the run's end, a dead letter that was not stored, or a bug of ours
                        self._fail(error)
                    self.progress.give_back(group)
                    self._room.set()
                    continue
            if self.progress.all_taken:
                return
            if self.progress.waits_for_save:
                self._saving.soon()
            await self._room.wait()

    async def _deliver(self, session: Client, group: list[int]) -> None:
        """Deliver the events of one POST; split it while the webhook finds it too large or refuses an event in it."""
        texts, unfit = self._texts(group)
        parts = [list(texts)] if texts else []
        while parts:
            part = parts.pop()
            events, half = [self.progress.event(index) for index in part], len(part) // 2
            message = self._payload.message(events, [texts[index] for index in part])
            if half and (size := len(message.body.encode())) > self._fits:
                parts += [part[half:], part[:half]]
                continue
            answer, number = await self._posting.post(session, message)
            if answer is None:
                return
            if outcome_of(answer) is Outcome.DELIVERED:
                self._settle(part, State.DELIVERED_NOW)
                await self._rejections.accepted(number)
            elif half:
                if answer.status in TOO_LARGE:
                    self._fits = min(self._fits, size // 2)
                # The first half goes first: with on_reject: stop, everything before the refused event gets delivered.
                parts += [part[half:], part[:half]]
            else:
                self._settle(part, State.REFUSED)
                if error := self._rejections.refused(part[0], events[0], answer, after=self._posting.started):
                    self._fail(error)
            if self.progress.is_full and not self._stopped.is_set():
                await self._rejections.make_room()
        for index, problem in unfit.items():
            if not self._stopped.is_set():
                await self._cannot_send(index, problem)

    def _texts(self, group: list[int]) -> tuple[dict[int, str], dict[int, NoBodyError]]:
        """What is sent of each event of a POST; and the events of which the route's ``body`` makes nothing."""
        texts: dict[int, str] = {}
        unfit: dict[int, NoBodyError] = {}
        for index in group:
            try:
                texts[index] = self._payload.text(self.progress.event(index))
            except NoBodyError as error:  # noqa: PERF203 - costs nothing since Python 3.11
                unfit[index] = error
                if self._rejections.stops_at_first:
                    break  # what is before it is sent, and nothing after it
        return texts, unfit

    async def _cannot_send(self, index: int, error: NoBodyError) -> None:
        """Treat an event as ``on_reject`` says. The webhook never saw it, so it is no refusal of the webhook's."""
        self._settle([index], State.REFUSED)
        await self._rejections.cannot_send(self.progress.event(index), error)
        self._set_aside(index)

    def _settle(self, part: list[int], state: State) -> None:
        self._idle.settled(time.monotonic())
        self.progress.settle_all(part, state)
        self._room.set()
        if self.progress.unsaved >= SAVED_EARLY:
            self._saving.soon()
        else:
            self._saving.due()

    def _saved(self, stored: bool) -> None:
        if stored:
            self._idle.settled(time.monotonic())
        self._room.set()

    def _set_aside(self, index: int) -> None:
        self._settle([index], State.DEAD_LETTERED)

    async def _try_suspect(self, session: Client, suspect: str, batches: Callable[[], Iterable[Batch]]) -> None:
        """Find out whether the webhook fails on this one event or on all events."""
        is_done = self.progress.is_done
        unfinished = places(self._rejections.enough_to_probe(batches(), is_done), is_done)
        first = await next_few(unfinished, 1 + LATER, self._storing)
        accepted, at_fault, answer = await try_suspect(session, self._posting, self._payload, iter(first), suspect)
        if accepted:
            self.progress.settle_ahead(*accepted, State.DELIVERED_NOW)
            await self._rejections.accepted(self._posting.started)
        if at_fault and answer:
            await self._rejections.put(at_fault.event, answer)
            self.progress.settle_ahead(*at_fault, State.DEAD_LETTERED)

    def _fail(self, error: BaseException) -> None:
        """Remember the first error, and start no new POST."""
        if isinstance(error, CheckpointMovedError | SupersededError):
            self._saving.moved = self._saving.moved or error
        else:
            self._error = self._error or error
        self._stopped.set()
        self._room.set()
