"""The progress of a run's delivery: which events are done, what may start next, what the checkpoint should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import IntEnum

from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.checkpoint import MAX_ACKNOWLEDGED, Checkpoint, before, before_in_time
from auth0_webhooks.model.events import LogEvent, Position, log_id_order


class State(IntEnum):
    """The state of one selected event. From ``DONE`` on it needs no more work."""

    NOT_REACHED = 0
    UNDER_WAY = 1
    REFUSED = 2
    DELIVERED_NOW = 3
    DELIVERED_BEFORE = 4
    DEAD_LETTERED = 5


DONE = State.DELIVERED_NOW
MOST_UNSAVED = 500
"""No POST starts while so many acknowledgements are unsaved: a crash repeats at most those and the events in flight."""
MOST_REPEATED = 600
"""No POST starts if the unsaved acknowledgements and the events in flight would be more than this: it limits batches.

It is at least ``MOST_UNSAVED`` and the most ``concurrent_calls``, so single events never reach it.
"""


class Progress:
    """The selected events of a run, one open batch at a time.

    Two rules limit how many events can be sent twice. The checkpoint stores each acknowledgement beyond the first unfinished
    event, and no POST starts that could cause more of them than it can store. No POST starts that could make a crash repeat
    more events than ``MOST_UNSAVED`` and ``MOST_REPEATED`` allow. ``waits_for_save`` says whether one waits for that.

    :param most_outstanding: how many events may be in flight or remembered at a time; the POST of the first missing event may
        always start.
    :param by_time: the events belong to a window and are sorted by date; otherwise they are sorted by log id.
    :param note: called with each event that needs no more work, and its state.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        by_time: bool = False,
        most_outstanding: int = MAX_ACKNOWLEDGED,
        note: Callable[[LogEvent, State], None] = lambda _event, _state: None,
    ) -> None:
        self.position, self._note = checkpoint.position, note
        self.before = before_in_time if by_time else before
        self._by_time, self._most = by_time, most_outstanding
        self.unsaved = 0
        self.waits_for_save = False
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
        """Continue from a checkpoint that someone else stored; the counts so far are kept."""
        self.position, self._remembered = checkpoint.position, set(checkpoint.acknowledged)
        self._events, self._states, self._end = [], bytearray(), None
        self._low = self._next = self._high = self._beyond = 0

    def open(self, number: int, batch: Batch, groups: Sequence[int] | None = None) -> None:
        """Start the run's batch ``number``: events at or before the position, and remembered ones, are already done.

        :param groups: for each event, the index at which its POST ends; by default each event has its own POST.
        """
        self._groups = groups if groups is not None else range(1, len(batch.events) + 1)
        counted = self._all_states.setdefault(number, bytearray(len(batch.events)))
        self._events, self._states, self._end, self._batch = batch.events, bytearray(len(batch.events)), batch.end, number
        self._next = self._low = self._high = self._beyond = 0
        if not self._by_time and self.position.log_id is not None:
            # Remembered events that the position has passed (the filter now leaves them out) need no room.
            here = log_id_order(self.position.log_id)
            self._remembered = {log_id for log_id in self._remembered if log_id_order(log_id) > here}
        passed = True  # events are sorted, so only the first ones can be at or before the position
        for index, event in enumerate(batch.events):
            passed = passed and not self.before(self.position, event.position)
            if passed or event.log_id in self._remembered:
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
        """Whether the checkpoint can store no more acknowledgements beyond the first missing event."""
        return self._beyond + len(self._remembered) >= self._most

    def take(self, *, beyond_full: bool = False) -> list[int]:
        """The indexes of the next POST's events, in order; empty if none may start now, or none is left.

        :param beyond_full: allow one POST more than can be stored, if none is in flight. After a refusal of the first missing
            event, only the next event shows whether the endpoint accepts any.
        """
        states, count = self._states, len(self._events)
        while self._next < count and states[self._next] != State.NOT_REACHED:
            self._next += 1
        self.waits_for_save = False
        if self._next == count:
            return []
        end = self._groups[self._next]
        group = [index for index in range(self._next, end) if states[index] == State.NOT_REACHED]
        if self.unsaved >= MOST_UNSAVED or self.unsaved + self._under_way + len(group) > MOST_REPEATED:
            self.waits_for_save = self.unsaved > 0
            return []
        outstanding = self._beyond + len(self._remembered) + self._under_way
        # Nothing is in flight, so there is nothing to wait for: the first missing event was refused.
        must_wait = self._under_way or (self.is_full and not beyond_full)
        if self._next != self._low and must_wait and outstanding + len(group) > self._most:
            return []
        self._next = end
        for index in group:
            states[index] = State.UNDER_WAY
        self._under_way += len(group)
        return group

    def give_back(self, group: list[int]) -> None:
        """Mark those of a POST's events as not reached that have no outcome because the run stops."""
        for index in group:
            if self._states[index] == State.UNDER_WAY:
                self.settle(index, State.NOT_REACHED)

    def close(self, start: Position, end: Position) -> None:
        """Move the position to ``end``: everything read from ``start`` on is done, including events that were not selected."""
        # Even if there was nothing to do, the end holds news that the ids do not show: the log was empty, or it had nothing
        # new up to a later time.
        if self.before(self.position, end) or self.position == start:
            self.position = end

    def event(self, index: int) -> LogEvent:
        """An event of the open batch."""
        return self._events[index]

    def settle(self, index: int, state: State) -> None:
        """Record the outcome of an event from :meth:`take`; a refused one may get another outcome later."""
        self.settle_all([index], state)

    def settle_all(self, indexes: Sequence[int], state: State) -> None:
        """Record the same outcome of the events of one POST, in order."""
        states, counted = self._states, self._all_states[self._batch]
        for index in indexes:
            self._under_way -= states[index] == State.UNDER_WAY
            states[index] = state
            if state >= DONE:
                self._note(self._events[index], state)
                self.repeated += counted[index] >= DONE
            if counted[index] < DONE:
                counted[index] = state
        if state >= DONE:
            self.unsaved += len(indexes)
            self._beyond, self._high = self._beyond + len(indexes), max(self._high, indexes[-1])
            self._advance()

    def settle_ahead(self, number: int, size: int, index: int, event: LogEvent, state: State) -> None:
        """Record that an event is done whose batch ``number``, of ``size`` events, is not open."""
        counted = self._all_states.setdefault(number, bytearray(size))
        self.repeated += counted[index] >= DONE
        counted[index] = state
        self._note(event, state)
        self._remembered.add(event.log_id)
        self.unsaved += 1

    def is_done(self, event: LogEvent) -> bool:
        """Whether an event of a batch that is not open is at or before the position, or is remembered."""
        return event.log_id in self._remembered or not self.before(self.position, event.position)

    def first_missing(self) -> LogEvent | None:
        """The first event of the open batch that is not done; None if all are."""
        return self._events[self._low] if self._low < len(self._events) else None

    def checkpoint(self) -> Checkpoint:
        """The current checkpoint: the position before the first unfinished event, and the events done beyond it."""
        done = range(self._low, self._high + 1) if self._beyond else range(0)
        beyond = [self._events[index].log_id for index in done if self._states[index] >= DONE]
        at = None if self._by_time else self.position.log_id
        beyond += [log_id for log_id in self._remembered if at is None or log_id_order(log_id) > log_id_order(at)]
        return Checkpoint(self.position, tuple(sorted(beyond, key=log_id_order)))

    def counts(self) -> Counter[State]:
        """How many events of the batches opened so far are in each state."""
        return Counter(State(state) for states in self._all_states.values() for state in states)

    def _advance(self) -> None:
        states, count = self._states, len(self._events)
        while self._low < count and states[self._low] >= DONE:
            self._low += 1
            self._beyond -= 1
        place = self._events[self._low].previous if self._low < count else self._end
        if place is not None and self.before(self.position, place):
            self.position = place
