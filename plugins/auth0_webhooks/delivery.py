"""Delivery of a run's events: at least once, nearly always exactly once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from auth0_webhooks.checkpoint import MAX_ACKNOWLEDGED, Checkpoint, Hold, iso
from auth0_webhooks.errors import (
    DeliveryStoppedError,
    EndpointHeldError,
    EndpointUnavailableError,
    EndpointWrongError,
    EventRefusedError,
    SupersededError,
)
from auth0_webhooks.keeper import CheckpointKeeper, CheckpointMovedError
from auth0_webhooks.outcomes import SLOW_DOWN, TOO_LARGE, Answer, Outcome, hold_of, outcome_of
from auth0_webhooks.payload import Payload
from auth0_webhooks.progress import Progress, State
from auth0_webhooks.waits import WAITS, Waits

if TYPE_CHECKING:
    import aiohttp

    from auth0_webhooks.batch import Batch
    from auth0_webhooks.endpoint import Endpoint
    from auth0_webhooks.events import LogEvent, Position
    from auth0_webhooks.payload import Message

SAVE_SECONDS = 0.5
"""How often the checkpoint is saved at the latest; promised is a second."""
REFUSED_AT_FIRST = 20
"""So many events of a run refused and none accepted: it is the endpoint, not the events."""


class DeadLetters(Protocol):
    """Where refused events are set aside."""

    def put(self, event: LogEvent, answer: Answer, tries: int) -> None:
        """Store one event durably. Raises when it cannot."""


@dataclass
class Figures:
    """What a delivery counted besides the states of its events."""

    posts: int = 0
    retried: int = 0
    slowest_answer: float = 0.0
    moved_by_hand: bool = False
    held: Hold | None = None


class Delivery:
    """Delivers the batches of one run to one endpoint, and keeps the checkpoint behind what was acknowledged.

    :param start: the checkpoint that the run was read from; ``first`` says that none was stored then.
    :param end: the place after everything that was read.
    :param by_time: the events are a window's, in the order of their dates.
    :param payload: how events are put into POSTs; the endpoint is one that says so in its headers.
    :param dead_letters: where to set refused events aside; None stops the run at the first one.
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
        concurrent_calls: int = 5,
        dead_letters: DeadLetters | None = None,
        waits: Waits = WAITS,
    ) -> None:
        self.figures = Figures()
        self.progress = Progress(Checkpoint(start), by_time=by_time, most_outstanding=payload.most_outstanding)
        self._endpoint, self._keeper, self._dead_letters = endpoint, keeper, dead_letters
        self._start, self._end, self._first, self._by_time = start, end, first, by_time
        self._payload, self._calls, self._fits = payload, concurrent_calls, payload.max_bytes
        self._waits = waits
        self._saved: Checkpoint | None = None
        self._error: BaseException | None = None
        self._moved: CheckpointMovedError | SupersededError | None = None
        self._accepted_any = False
        self._refused_at_first = 0
        self._refused_first: list[tuple[int, LogEvent, Answer, int]] = []
        self._not_before = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped, self._killed = asyncio.Event(), asyncio.Event()
        self._room, self._save_now = asyncio.Event(), asyncio.Event()
        self._ending = False

    def run(self, batches: Callable[[], Iterable[Batch]]) -> None:
        """Deliver everything, or raise the first thing that stood in the way.

        :param batches: gives the run's batches from the first on; asked again if the checkpoint was moved within them.
        :raises WebhookRouteError: of the kind that says what to do; what was acknowledged by then is saved.
        """
        try:
            asyncio.run(self._run(batches))
        finally:
            self._loop = None

    def stop(self, reason: str) -> None:
        """End soon: start nothing, await the POSTs under way for a moment, save. May be called from a signal handler."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._killed.set)
            self._loop.call_soon_threadsafe(self._fail, DeliveryStoppedError(reason))
        else:
            self._error = self._error or DeliveryStoppedError(reason)

    async def _run(self, batches: Callable[[], Iterable[Batch]]) -> None:
        self._loop = asyncio.get_running_loop()
        if self._error:
            raise self._error  # told to end before it began
        async with self._endpoint.session(self._calls) as session:
            found = await asyncio.to_thread(self._keeper.load)
            while self._adopt(found):
                try:
                    await self._deliver_all(session, batches)
                    return
                except CheckpointMovedError as moved:
                    found = moved.found
                self._moved = None
                self._stopped.clear()
            # Nothing is left to do; but where the batches are gone, this run must not look as if it had done it.
            await asyncio.to_thread(lambda: next(iter(batches()), None))

    def _adopt(self, found: Checkpoint | None) -> bool:
        """Take up the stored checkpoint, never guess one; False when that leaves nothing to do."""
        if found is None and self._first and self._saved is None:
            return True
        self._saved = found
        if found is None or self.progress.before(found.position, self._start) or self._is_another_time(found.position):
            self.figures.moved_by_hand = True
            return False
        if found.hold and found.hold.until > datetime.now(timezone.utc):
            self.figures.held = found.hold
            return False
        self.progress.adopt(found)
        self._refused_first.clear()  # they belong to the pass before
        self._accepted_any = self._accepted_any or bool(found.acknowledged)
        return True

    def _is_another_time(self, found: Position) -> bool:
        """Whether a person set a bare time: which of the run's events lie before it cannot be told, so it is the next run's."""
        return not self._by_time and found.log_id is None and found != self._start

    @property
    def stored(self) -> Position | None:
        """The place that is stored, as far as this delivery knows."""
        return self._saved.position if self._saved else None

    async def _deliver_all(self, session: aiohttp.ClientSession, batches: Callable[[], Iterable[Batch]]) -> None:
        self._ending, saver = False, asyncio.create_task(self._keep_saving())
        try:
            for number, batch in enumerate(batches()):
                self.progress.open(number, batch, self._payload.groups(batch.events))
                await self._deliver_batch(session)
                if self._stopped.is_set():
                    break
            else:
                self.progress.close(self._start, self._end)
        finally:
            self._ending = True
            self._save_now.set()
            await saver
            await self._save()
        if error := self._error or self._moved:
            raise error

    async def _deliver_batch(self, session: aiohttp.ClientSession) -> None:
        """Send the open batch. POSTs under way are awaited whatever happens: a late acknowledgement still counts."""
        workers = [asyncio.create_task(self._work(session)) for _ in range(self._calls)]
        killed = asyncio.create_task(self._killed.wait())
        all_done: asyncio.Future[list[None]] = asyncio.gather(*workers)
        either: list[asyncio.Future[Any]] = [all_done, killed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not all_done.done():
            await asyncio.wait([all_done], timeout=self._waits.kill_grace)
            all_done.cancel()
        killed.cancel()
        await asyncio.wait([all_done])
        if not self._stopped.is_set():
            await self._set_aside_first()

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while not self._stopped.is_set():
            self._room.clear()
            group = self.progress.take()
            if not group:
                if self.progress.all_taken:
                    return
                await self._room.wait()
                continue
            try:
                await self._deliver(session, group)
            except Exception as error:  # noqa: BLE001 - a dead letter that cannot be stored, or a fault of our own
                self._fail(error)
            self.progress.give_back(group)
            self._room.set()

    async def _deliver(self, session: aiohttp.ClientSession, group: list[int]) -> None:
        """Deliver the events of one POST; split it for as long as the webhook finds it too large, or refuses an event in it."""
        parts = [group]
        while parts:
            part = parts.pop()
            events, half = [self.progress.event(index) for index in part], len(part) // 2
            message = self._payload.message(events)
            if half and (size := len(message.body.encode())) > self._fits:
                parts += [part[half:], part[:half]]
                continue
            answer, tries = await self._post(session, message)
            if answer is None:
                return
            if outcome_of(answer) is Outcome.DELIVERED:
                self._settle(part, State.DELIVERED_NOW)
                self._accepted_any = True
                await self._set_aside_first()
            elif half:
                if answer.status in TOO_LARGE:
                    self._fits = min(self._fits, size // 2)
                # The first half first: with on_reject: stop everything before the refused event is delivered.
                parts += [part[half:], part[:half]]
            else:
                self._settle(part, await self._refused(part[0], events[0], answer, tries))

    def _settle(self, part: list[int], state: State) -> None:
        for index in part:
            self.progress.settle(index, state)
        self._room.set()
        if self.progress.unsaved >= MAX_ACKNOWLEDGED // 2:
            self._save_now.set()

    async def _post(self, session: aiohttp.ClientSession, message: Message) -> tuple[Answer | None, int]:
        """Try one POST until it is delivered or refused; None where the run stops before that. With the number of tries."""
        tries, deadline = 0, 0.0
        while True:
            while (pause := self._not_before - time.monotonic()) > 0 and not self._stopped.is_set():
                await self._sleep(pause)
            if self._stopped.is_set():
                return None, tries
            began = time.monotonic()
            answer = await self._endpoint.post(session, message)
            now = time.monotonic()
            tries += 1
            self.figures.posts += 1
            self.figures.retried += tries > 1
            self.figures.slowest_answer = max(self.figures.slowest_answer, now - began)
            outcome = outcome_of(answer)
            if outcome in {Outcome.DELIVERED, Outcome.EVENT_REFUSED}:
                return answer, tries
            deadline = deadline or now + self._waits.post_retries
            delay = self._delay(answer, outcome, message, tries, deadline - now)
            if delay is None:
                return None, tries
            if answer.status in SLOW_DOWN:
                self._not_before = max(self._not_before, now + delay)
            await self._sleep(delay)

    def _delay(self, answer: Answer, outcome: Outcome, message: Message, tries: int, left: float) -> float | None:
        """Seconds until a POST may be tried again; None when it may not, and the run stops."""
        what = f"the webhook at {self._endpoint.name}: {answer} ({message.what}, try {tries})"
        if outcome is Outcome.ENDPOINT_WRONG:
            self._fail(
                EndpointWrongError(
                    f"{what}; nothing more is sent until its address or credentials are mended: check the route's webhook "
                    "connection, then start the next run"
                )
            )
            return None
        if hold := hold_of(answer, longer_than=self._waits.post_retries):
            if self.figures.held and self.figures.held.until > hold.until:
                hold = self.figures.held
            self.figures.held = hold
            self._fail(EndpointHeldError(f"{what}; held until {iso(hold.until)}, as it asked: {self._keeper.on_hold}"))
            return None
        back_off: float = min(self._waits.first_back_off * 2 ** (tries - 1), self._waits.longest_back_off)
        delay = max(answer.retry_after or 0.0, back_off * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        if delay > left:
            self._fail(
                EndpointUnavailableError(
                    f"{what}, tried again for {self._waits.post_retries:.0f} s; the next try goes on from there",
                    retry_after=answer.retry_after,
                )
            )
            return None
        return delay

    async def _refused(self, index: int, event: LogEvent, answer: Answer, tries: int) -> State:
        what = f"the webhook at {self._endpoint.name} refuses event {event.log_id} (type {event.type!r}): {answer}"
        if self._dead_letters is None:
            self._fail(
                EventRefusedError(
                    f"{what}; nothing after it is sent. Mend the webhook, or set the route's on_reject to dead_letter to "
                    "set such events aside"
                )
            )
            return State.REFUSED
        if self._accepted_any:
            await asyncio.to_thread(self._dead_letters.put, event, answer, tries)
            return State.DEAD_LETTERED
        # Not set aside yet: as long as nothing was accepted it may be the endpoint that is wrong, not the event.
        self._refused_first.append((index, event, answer, tries))
        self._refused_at_first += 1
        if self._refused_at_first >= REFUSED_AT_FIRST:
            before_it = f"{REFUSED_AT_FIRST - 1} before it"
            self._fail(EndpointWrongError(f"{what}, like the {before_it}, and none was accepted; they are not set aside"))
        return State.REFUSED

    async def _set_aside_first(self) -> None:
        """Set aside what was refused before anything was accepted, now that it is the events' own fault."""
        while self._dead_letters and self._refused_first:
            index, event, answer, tries = self._refused_first.pop(0)
            try:
                await asyncio.to_thread(self._dead_letters.put, event, answer, tries)
            except Exception as error:  # noqa: BLE001 - the event stays refused, and nothing passes it
                self._fail(error)
                return
            self.progress.settle(index, State.DEAD_LETTERED)

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the run stops."""
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _keep_saving(self) -> None:
        while not self._ending:
            try:
                await asyncio.wait_for(self._save_now.wait(), SAVE_SECONDS)
            except asyncio.TimeoutError:
                pass
            self._save_now.clear()
            await self._save()

    async def _save(self) -> None:
        if self._moved:
            return  # what someone else stored stays
        checkpoint, count = self.progress.checkpoint(), self.progress.unsaved
        if self.figures.held:
            checkpoint = replace(checkpoint, hold=self.figures.held)
        try:
            if checkpoint != self._saved:
                await asyncio.to_thread(self._keeper.save, checkpoint)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be sent that cannot be remembered
            self._fail(error)
            return
        self._saved = checkpoint
        self.progress.unsaved -= count
        self._room.set()

    def _fail(self, error: BaseException) -> None:
        """Remember the first thing that went wrong, and let nothing new start."""
        if isinstance(error, CheckpointMovedError | SupersededError):
            self._moved = self._moved or error
        else:
            self._error = self._error or error
        self._stopped.set()
        self._room.set()
