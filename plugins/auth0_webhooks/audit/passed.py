"""Which filter was in force where: by it the audit judges an event that no run is done with."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

from pydantic import ValidationError

from auth0_webhooks.filtering.selection import Selection
from auth0_webhooks.model.events import LogEvent, Position, cursor_at, log_id_order
from auth0_webhooks.settings.route import Route
from auth0_webhooks.times import parse_time

Order = tuple[int, str]
"""A place in the log that can be compared: see :func:`log_id_order`."""


def order_of(place: Position) -> Order:
    """Where a position is in the log; one that is only a time is before all events that Auth0 ingests from then on."""
    return log_id_order(place.log_id if place.log_id is not None else cursor_at(parse_time(place.date)))


class Passed:
    """The sections of the log that live runs read, each with the filter of its run.

    An event in one section was wanted if that filter wants it. In several (the checkpoint was set back), if one of them does. In
    none (the checkpoint was set forward), if the filter before it or the one after it does: rather one event too many is named
    than one too few.

    :param today: the route's filter now, for what cannot be judged otherwise.
    """

    def __init__(self, today: Selection) -> None:
        self._today = today
        self._filters: dict[str, Selection] = {}
        self._sections: dict[str, list[tuple[Order, Order]]] = {}
        self.began: Order | None = None

    def add(self, start: Position, end: Position, settings: Any) -> None:
        """One run read from ``start`` to ``end``, with these settings."""
        key, section = json.dumps(settings, sort_keys=True), (order_of(start), order_of(end))
        if key not in self._filters:
            self._filters[key] = self._filter(settings)
        self._sections.setdefault(key, []).append(section)
        self.began = min(self.began, section[0]) if self.began else section[0]

    def join(self) -> None:
        """Join the sections that touch; :meth:`wanted` may be called from now on."""
        for key, sections in self._sections.items():
            joined: list[tuple[Order, Order]] = []
            for start, end in sorted(sections):
                if joined and start <= joined[-1][1]:
                    joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
                else:
                    joined.append((start, end))
            self._sections[key] = joined

    def wanted(self, event: LogEvent) -> bool:
        """Whether the route wanted an event when its runs passed it."""
        return any(selection.wants(event) for selection in self._in_force(log_id_order(event.log_id)))

    def _in_force(self, at: Order) -> list[Selection]:
        inside: list[Selection] = []
        before: tuple[Order, Selection] | None = None
        after: tuple[Order, Selection] | None = None
        for key, sections in self._sections.items():
            selection, following = self._filters[key], bisect_left(sections, (at,))
            # Each section begins after its start, which is the event that was read last before it.
            if following and sections[following - 1][1] >= at:
                inside.append(selection)
            if following and (before is None or sections[following - 1][1] > before[0]):
                before = (sections[following - 1][1], selection)
            if following < len(sections) and (after is None or sections[following][0] < after[0]):
                after = (sections[following][0], selection)
        return inside or [near[1] for near in (before, after) if near] or [self._today]

    def _filter(self, settings: Any) -> Selection:
        try:
            return Route(name="r", **settings).selection
        except (ValidationError, TypeError):
            return self._today  # a later version wrote it
