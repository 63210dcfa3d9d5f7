"""How far a run's delivery is: which events are done, what may start next, what the checkpoint would say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum

from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED, Checkpoint, before, before_in_time
from auth0_webhooks.model.events import LogEvent, Position, log_id_order


class State(IntEnum):
    """What became of one selected event. From ``DONE`` on it needs no more work."""

    NOT_REACHED = 0
    UNDER_WAY = 1
    REFUSED = 2
    DELIVERED_NOW = 3
    DELIVERED_BEFORE = 4
    DEAD_LETTERED = 5


DONE = State.DELIVERED_NOW


class Progress:
    """The selected events of a run, one open batch at a time.

    Two rules bound what can ever be sent twice. An acknowledgement beyond the first unfinished event is remembered with
    the checkpoint, and no more of them come about than can be remembered. And no POST starts while
    ``MAX_ACKNOWLEDGED`` of them are not yet saved, so a crash repeats at most those and the events under way.

    :param most_outstanding: events that may be under way or remembered at a time; the POST of the first missing one may
        always go.
    :param by_time: the events are a window's, in the order of their dates; else they come in the order of their log ids.
    """

    def __init__(self, checkpoint: Checkpoint, *, by_time: bool = False, most_outstanding: int = MAX_ACKNOWLEDGED) -> None:
        self.position = checkpoint.position
        self.before = before_in_time if by_time else before
        self._by_time, self._most = by_time, most_outstanding
        self.unsaved = 0
        self.repeated = 0
        self._remembered = set(checkpoint.acknowledged)
        self._events: list[LogEvent] = []
        self._states = bytearray()
        self._groups: Sequence[int] = ()
        self._end: Position | None = None
        self._batch = -1
        self._all_states: dict[int, bytearray] = {}
        self._low = self._next = self._high = self._beyond = self._under_way = 0

    def adopt(self, checkpoint: Checkpoint) -> None:
        """Go on from a place that someone else stored; what was counted before stays counted."""
        self.position, self._remembered = checkpoint.position, set(checkpoint.acknowledged)
        self._events, self._states, self._end = [], bytearray(), None
        self._low = self._next = self._high = self._beyond = 0

    def open(self, number: int, batch: Batch, groups: Sequence[int] | None = None) -> None:
        """Begin with the run's batch ``number``: events at or before the position, or remembered, are done already.

        :param groups: for each event the index at which the POST that it belongs to ends; by default each has its own.
        """
        self._groups = groups if groups is not None else range(1, len(batch.events) + 1)
        counted = self._all_states.setdefault(number, bytearray(len(batch.events)))
        self._events, self._states, self._end, self._batch = batch.events, bytearray(len(batch.events)), batch.end, number
        self._next = self._low = self._high = self._beyond = 0
        if not self._by_time and self.position.log_id is not None:
            # What the position has passed, because the filter leaves it out by now, takes up none of the room.
            here = log_id_order(self.position.log_id)
            self._remembered = {log_id for log_id in self._remembered if log_id_order(log_id) > here}
        for index, event in enumerate(batch.events):
            if self.is_done(event):
                self._remembered.discard(event.log_id)
                self._states[index] = State.DELIVERED_BEFORE
                self._beyond, self._high = self._beyond + 1, index
                if counted[index] < DONE:
                    counted[index] = State.DELIVERED_BEFORE
        self._advance()

    @property
    def all_taken(self) -> bool:
        """Whether no event of the open batch is left to start."""
        return self._next == len(self._events)

    @property
    def is_full(self) -> bool:
        """Whether no more acknowledgements beyond the first missing event can be remembered."""
        return self._beyond + len(self._remembered) >= self._most

    def take(self, *, beyond_full: bool = False) -> list[int]:
        """The indexes of the next POST's events, in their order; none while none may start (or none is left).

        :param beyond_full: where the first missing event was refused, it shows only with the next one whether the endpoint
            accepts any: that may start with nothing under way, though one acknowledgement more must be remembered.
        """
        states, count = self._states, len(self._events)
        while self._next < count and states[self._next] != State.NOT_REACHED:
            self._next += 1
        if self._next == count or self.unsaved >= MAX_ACKNOWLEDGED:
            return []
        end = self._groups[self._next]
        group = [index for index in range(self._next, end) if states[index] == State.NOT_REACHED]
        outstanding = self._beyond + len(self._remembered) + self._under_way
        # With nothing under way there is nothing to wait for: the first missing event was refused.
        must_wait = self._under_way or (self.is_full and not beyond_full)
        if self._next != self._low and must_wait and outstanding + len(group) > self._most:
            return []
        self._next = end
        for index in group:
            states[index] = State.UNDER_WAY
        self._under_way += len(group)
        return group

    def give_back(self, group: list[int]) -> None:
        """Those of a POST's events that nothing became of, because the run stops, were not reached."""
        for index in group:
            if self._states[index] == State.UNDER_WAY:
                self.settle(index, State.NOT_REACHED)

    def close(self, start: Position, end: Position) -> None:
        """All batches of what was read from ``start`` on are done: the place is the ``end`` of that, wanted or not."""
        # Where nothing was done, the end says more than the start in ways that their ids do not show: that the log was empty,
        # or that there was nothing new by a later time.
        if self.before(self.position, end) or self.position == start:
            self.position = end

    def event(self, index: int) -> LogEvent:
        """An event of the open batch."""
        return self._events[index]

    def settle(self, index: int, state: State) -> None:
        """Record what became of an event that :meth:`take` gave out; one that is refused may be settled otherwise later."""
        self._under_way -= self._states[index] == State.UNDER_WAY
        self._states[index] = state
        counted = self._all_states[self._batch]
        if state >= DONE:
            self.repeated += counted[index] >= DONE
            self.unsaved += 1
            self._beyond, self._high = self._beyond + 1, max(self._high, index)
            self._advance()
        if counted[index] < DONE:
            counted[index] = state

    def settle_ahead(self, number: int, size: int, index: int, event: LogEvent, state: State) -> None:
        """Record of an event of the batch ``number``, which is not open and holds ``size`` events, that it is done."""
        counted = self._all_states.setdefault(number, bytearray(size))
        self.repeated += counted[index] >= DONE
        counted[index] = state
        self._remembered.add(event.log_id)
        self.unsaved += 1

    def is_done(self, event: LogEvent) -> bool:
        """Whether an event of a batch that is not open lies at or before the position, or is remembered."""
        return event.log_id in self._remembered or not self.before(self.position, event.position)

    def first_missing(self) -> LogEvent | None:
        """The first event of the open batch that is not done; None where all are."""
        return self._events[self._low] if self._low < len(self._events) else None

    def checkpoint(self) -> Checkpoint:
        """What is true now: the place before the first unfinished event, and what is done beyond it."""
        done = range(self._low, self._high + 1) if self._beyond else range(0)
        beyond = [self._events[index].log_id for index in done if self._states[index] >= DONE]
        at = None if self._by_time else self.position.log_id
        beyond += [log_id for log_id in self._remembered if at is None or log_id_order(log_id) > log_id_order(at)]
        return Checkpoint(self.position, tuple(sorted(beyond, key=log_id_order)))

    def counts(self) -> Counter[State]:
        """How many events of the batches opened so far are in which state."""
        return Counter(State(state) for states in self._all_states.values() for state in states)

    def _advance(self) -> None:
        states, count = self._states, len(self._events)
        while self._low < count and states[self._low] >= DONE:
            self._low += 1
            self._beyond -= 1
        place = self._events[self._low].previous if self._low < count else self._end
        if place is not None and self.before(self.position, place):
            self.position = place
