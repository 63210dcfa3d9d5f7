"""Which events a route wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from auth0_webhooks.filtering.api_endpoints import API_TYPES, ApiEndpoints
from auth0_webhooks.filtering.log_types import levels
from auth0_webhooks.filtering.where import Where
from auth0_webhooks.model.batch import Batch
from auth0_webhooks.model.events import LogEvent

EXCLUDED = "excluded"
BELOW_LEVEL = "below_level"
OTHER_TYPE = "other_type"
NOT_MATCHING = "not_matching"


@dataclass(frozen=True)
class Selection:
    """A route's filter: an event is sent if no ``exclude_types`` name it, and level, type and ``where`` all match.

    A type that is not in the table passes the level test: Auth0 adds codes every month, and a new kind of failure must not
    go unnoticed. For the same reason an event passes if ``where`` cannot be evaluated. Empty ``log_types`` means all. With
    ``endpoints`` only calls to the Management API pass.
    """

    log_level: int = 0
    log_types: frozenset[str] = frozenset()
    exclude_types: frozenset[str] = frozenset()
    where: Where | None = None
    endpoints: ApiEndpoints | None = None

    @classmethod
    def of(
        cls,
        *,
        log_level: int,
        log_types: Iterable[str],
        exclude_types: Iterable[str],
        where: str | None,
        api_endpoints: Collection[str],
    ) -> Selection:
        """The filter that a route's settings describe."""
        return cls(
            log_level,
            frozenset(log_types),
            frozenset(exclude_types),
            Where(where) if where else None,
            ApiEndpoints(api_endpoints) if api_endpoints else None,
        )

    def wants(self, event: LogEvent) -> bool:
        """Whether the route wants an event."""
        return not self.reason_to_drop(event.type) and self.fits(event) is not False

    def fits(self, event: LogEvent) -> bool | None:
        """Whether an event matches what the route says of its content; None if that cannot be judged."""
        result: bool | None = True
        for test in (self.endpoints, self.where):  # the cheaper one first
            found = test.fits(event.body) if test else True
            if found is False:
                return False
            result = result and found
        return result

    def reason_to_drop(self, log_type: str) -> str | None:
        """Why an event of this type is left out (one of this module's constants), or None if it is wanted."""
        if log_type in self.exclude_types:
            return EXCLUDED
        if levels().get(log_type, self.log_level) < self.log_level:
            return BELOW_LEVEL
        if self.log_types and log_type not in self.log_types:
            return OTHER_TYPE
        if self.endpoints and log_type not in API_TYPES:
            return OTHER_TYPE
        return None


@dataclass
class Tally:
    """Counts the events that went through :func:`select`, by outcome."""

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    undecided: int = 0
    """Events for which ``where`` could not be evaluated; they are kept."""
    unknown_types: Counter[str] = field(default_factory=Counter)
    selected_types: Counter[str] = field(default_factory=Counter)
    first_selected: LogEvent | None = None
    last_selected: LogEvent | None = None


def select(batch: Batch, selection: Selection, tally: Tally) -> Batch:
    """Keep a batch's wanted events, in their order, and count every one in ``tally``."""
    wanted = []
    for event in batch.events:
        tally.read += 1
        if event.type not in levels():
            tally.unknown_types[event.type] += 1
        reason = selection.reason_to_drop(event.type)
        if not reason:
            fits = selection.fits(event)
            tally.undecided += fits is None
            reason = NOT_MATCHING if fits is False else None
        if reason:
            tally.dropped[reason] += 1
        else:
            tally.selected_types[event.type] += 1
            tally.first_selected = tally.first_selected or event
            tally.last_selected = event
            wanted.append(event)
    return Batch(batch.start, batch.end, wanted)
