"""The watch: starts a live run as soon as the tenant's log has an event that the route wants.

It runs in Airflow's triggerer and only starts runs, so it cannot lose an event: the next scheduled run reads whatever it
misses. Routes on one tenant share one look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from auth0_webhooks.errors import AirflowUnavailableError, BudgetUsedError, TenantRefusedError, WebhookRouteError
from auth0_webhooks.filtering.selection import Selection
from auth0_webhooks.model.checkpoint import parse_checkpoint
from auth0_webhooks.model.events import LogEvent, Position, log_id_order
from auth0_webhooks.times import parse_time
from auth0_webhooks.triggers.wakes import WakeUps, runs_of
from auth0_webhooks.waits import WAITS

if TYPE_CHECKING:
    from auth0_webhooks.hooks.auth0 import TenantHook

log = logging.getLogger(__name__)

FULL_PAGE = 100
LONGEST_PAUSE = 60.0
"""Seconds between looks at the most, while the tenant does not answer or its rate limit is nearly used up."""
SHARE = 0.2
"""The share of the requests that reading may send to a tenant which the watch uses at the most: the rest is for runs."""
WAITS_OF_A_LOOK = replace(WAITS, live_limits=10.0)
"""A look waits in a thread; if it would take longer, the watch looks again later."""


BUSY_SECONDS = 60.0
"""For so long after events came the log is looked at more often: where some come, more follow."""
REMIND_SECONDS = 30.0
"""How long after a wake-up that started no run a route is woken again: Airflow keeps none for a paused DAG.

After its DAG is unpaused, a route waits this long at most, because the triggerer cannot ask whether a DAG is paused. Each
wake-up is a row of Airflow's database.
"""


class Seen(NamedTuple):
    """What one look found: the new events, or ``many`` of them, which were not all read.

    ``upto`` is the place at which the look ended, None on an empty log.
    """

    events: tuple[LogEvent, ...] = ()
    many: bool = False
    upto: Position | None = None

    @property
    def types(self) -> set[str]:
        """The log types of the new events."""
        return {event.type for event in self.events}


class Look:
    """One look after the other at a tenant's log; blocking. Its cursor is in memory only.

    :param checkpoints: the Variables of the routes that share this look: the first look begins at the earliest of them.
    """

    def __init__(self, hook: TenantHook, checkpoints: Iterable[str]) -> None:
        self._hook, self._checkpoints = hook, tuple(checkpoints)
        self.cursor: Position | None = None
        self._began = False

    def __call__(self) -> Seen | None:
        """Look once, at the cost of one request; None when there is nothing new.

        :raises WebhookRouteError: one of the Tenant errors, or of the errors of what Airflow holds.
        """
        if self.cursor is None:
            self.cursor = None if self._began else self._earliest_checkpoint()
        if self.cursor is None:
            return self._from_the_newest()
        try:
            page = self._hook.page_after(self.cursor)
        except TenantRefusedError:
            # Such as an expired cursor: the run that is woken finds the reason.
            return self._skip_to_the_newest()
        if len(page) >= FULL_PAGE:
            # Runs read a backlog; the watch continues from its end.
            return self._skip_to_the_newest()
        if page:
            self.cursor = page[-1].position
        return Seen(tuple(page)) if page else None

    def _skip_to_the_newest(self) -> Seen:
        self.cursor, self._began = None, False
        self._from_the_newest()
        return Seen(many=True)

    def _from_the_newest(self) -> Seen | None:
        newest = self._hook.newest()
        woke, self._began = self._began, True
        if newest is None:
            return None
        self.cursor = newest.position
        # The log was empty at the look before.
        return Seen(many=True) if woke else None

    def _earliest_checkpoint(self) -> Position | None:
        """The earliest of those that can be read: what is wrong with one Variable concerns its own route only."""
        found = [_checkpoint_or_fault(key) for key in self._checkpoints]
        faults = [one for one in found if isinstance(one, AirflowUnavailableError)]
        if faults and len(faults) == len(found):
            raise faults[0]
        places = [one for one in found if isinstance(one, Position) and one.log_id]
        return min(places, key=lambda place: log_id_order(str(place.log_id)), default=None)


def pause_between(seconds: float, since_events: float, share: float) -> float:
    """Seconds from one look to the next: ``seconds``, or a third of it, but no less than 1, while events come.

    :param since_events: seconds since a look last showed events.
    :param share: the least that the tenant's rate limit allows.
    """
    pause = max(1.0, seconds / 3) if since_events < BUSY_SECONDS else seconds
    return max(pause, min(share, LONGEST_PAUSE))


def pause_after(failed: int, seconds: float, asked: float = 0.0) -> float:
    """Seconds until the next look after so many that failed in a row; ``asked`` is what the tenant asked for."""
    return min(max(seconds * 2.0 ** min(failed, 10), asked), LONGEST_PAUSE)


def _checkpoint_at(key: str) -> Position | None:
    from auth0_webhooks.state.variables import read_variable

    text = read_variable(key)
    return parse_checkpoint(text, key=key).position if text is not None else None


def _checkpoint_or_fault(key: str) -> Position | AirflowUnavailableError | None:
    """The place in a route's Variable; None where it holds none, which is logged where that is a person's mistake."""
    try:
        return _checkpoint_at(key)
    except AirflowUnavailableError as error:
        log.warning("%s", error)
        return error
    except Exception as error:  # noqa: BLE001 - whatever a person wrote there, the others' watch goes on
        said = error if isinstance(error, WebhookRouteError) else f"Variable {key!r}: {type(error).__name__}"
        log.warning("%s; the runs of its route fail until then, the watch of the others goes on", said)
        return None


class LogWatch(BaseEventTrigger):
    """Fires when there are new events that its route wants, at most once a look.

    :param seconds: between looks while no events come.
    :param checkpoint: the Variable of the route's own checkpoint.
    :param log_level: with ``log_types``, ``exclude_types``, ``where`` and ``api_endpoints`` the route's filter.
    :param checkpoints: the checkpoint Variables of all routes that watch this tenant at this pace.
    :param remind_seconds: how long after a wake-up of which no run came the route is woken again.
    """

    def __init__(
        self,
        *,
        route: str,
        auth0_conn_id: str,
        seconds: float,
        log_level: int,
        log_types: list[str],
        exclude_types: list[str],
        checkpoint: str,
        checkpoints: list[str],
        where: str | None = None,
        api_endpoints: Sequence[str] = (),
        remind_seconds: float = REMIND_SECONDS,
    ) -> None:
        super().__init__()
        self._kwargs: dict[str, Any] = {
            "route": route,
            "auth0_conn_id": auth0_conn_id,
            "seconds": seconds,
            "log_level": log_level,
            "log_types": log_types,
            "exclude_types": exclude_types,
            "checkpoint": checkpoint,
            "checkpoints": checkpoints,
            "where": where,
            "api_endpoints": list(api_endpoints),
            "remind_seconds": remind_seconds,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """For the triggerer, which builds the watch from it."""
        return f"{__name__}.{type(self).__name__}", self._kwargs

    def shared_stream_key(self) -> Hashable:
        """Routes on one tenant, looking at the same pace, share one look, whichever files they come from.

        Their ``checkpoints`` may then differ. Those of the route that came first say where the look begins; each other route
        compares its own checkpoint with what it is shown first.
        """
        return ("auth0-log", *(self._kwargs[key] for key in ("auth0_conn_id", "seconds")))

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Seen]:
        """Look for as long as there is a route that watches. Whatever goes wrong slows it down, nothing ends it."""
        from auth0_webhooks.hooks.auth0 import TenantHook
        from auth0_webhooks.state.variables import TokenVariable

        conn_id, seconds, failed = kwargs["auth0_conn_id"], float(kwargs["seconds"]), 0
        hook = TenantHook(conn_id, TokenVariable(conn_id), tries=1, waits=WAITS_OF_A_LOOK)
        look, events_at = Look(hook, kwargs["checkpoints"]), -BUSY_SECONDS
        while True:
            try:
                seen = await asyncio.to_thread(look)
                failed, now = 0, time.monotonic()
                events_at = now if seen else events_at
                pause = pause_between(seconds, now - events_at, hook.budget.seconds_to_share(SHARE))
            except BudgetUsedError as error:
                pause = pause_after(0, seconds, error.retry_after or 0.0)
                log.info("the watch on %s: %s; looking again in %.0f s", conn_id, error, pause)
            except Exception as error:  # noqa: BLE001 - the watch survives anything
                failed += 1
                said = error if isinstance(error, WebhookRouteError) else type(error).__name__
                asked = getattr(error, "retry_after", None) or 0.0
                pause = pause_after(failed, seconds, asked)
                log.warning("the watch on %s: %s; looking again in %.0f s", conn_id, said, pause)
                hook.close()
            else:
                yield (seen or Seen())._replace(upto=look.cursor)
            await asyncio.sleep(pause)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Seen]) -> AsyncIterator[TriggerEvent]:
        """Fire for what the route wants, and again while it has not read it; also for what was there before it came.

        Not while the run that an earlier wake-up asked for is still to come. A route whose last live run failed, or that is
        held, is left to its schedule.
        """
        kwargs = self._kwargs
        selection = Selection.of(
            log_level=kwargs["log_level"],
            log_types=kwargs["log_types"],
            exclude_types=kwargs["exclude_types"],
            where=kwargs["where"],
            api_endpoints=kwargs["api_endpoints"],
        )
        unread, wakes, came = None, WakeUps(kwargs["remind_seconds"]), True
        async for seen in shared_stream:
            wanted = seen.many or any(map(selection.wants, seen.events))
            if wanted or came:
                unread, came = seen.upto, False
            if not wanted:
                if unread is None or not wakes.is_due(time.monotonic()):
                    continue
                if not (behind := await asyncio.to_thread(self._is_before, unread)):
                    if behind is None:
                        wakes.left(time.monotonic())
                    else:
                        unread = None
                    continue
            runs = await asyncio.to_thread(runs_of, kwargs["route"])
            now = time.monotonic()
            if not wakes.is_needed(now, runs):
                continue
            if await asyncio.to_thread(self._is_left_to_its_schedule):
                wakes.left(now)
                continue
            wakes.woke(now, runs)
            yield TriggerEvent({"route": kwargs["route"]})

    def _is_left_to_its_schedule(self) -> bool:
        """Whether its health says so; False if that is unknown."""
        from auth0_webhooks.state.health import Health

        try:
            return Health(self._kwargs["route"]).waits_for_its_schedule()
        except Exception as error:  # noqa: BLE001 - a record that a person has edited ends no watch
            log.warning("the health of route %s cannot be read: %s", self._kwargs["route"], type(error).__name__)
            return False

    def _is_before(self, place: Position) -> bool | None:
        """Whether the route's checkpoint is before an event; None if Airflow cannot say just now."""
        try:
            at = _checkpoint_at(self._kwargs["checkpoint"])
            if at is None:
                return False
            if at.log_id and place.log_id:
                return log_id_order(at.log_id) < log_id_order(place.log_id)
            # Only a time yet: reading starts with the events from that time on.
            return parse_time(at.date) <= parse_time(place.date)
        except AirflowUnavailableError:
            return None
        except Exception:  # noqa: BLE001 - whatever a person wrote there, its runs say what is wrong with it
            return False

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same if the triggerer shares nothing."""
        async for event in self.filter_shared_stream(type(self).open_shared_stream(self._kwargs)):
            yield event
