"""What an audit found of one route: the ledger that goes to its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from auth0_webhooks.errors import LedgerError
from auth0_webhooks.model.events import LogEvent

LISTED = 100
"""How many events that are not accounted for a report names; it counts them all."""


@dataclass
class Outcome:
    """One route in one audit. Counts are events of the window ``since`` to ``until``; times are ISO 8601 in UTC.

    read = delivered + set_aside + left_out + waiting + not_kept + unaccounted. The route did not want what is ``left_out``, by
    its settings when its runs passed it. What is ``waiting`` is wanted, and the checkpoint had not passed it yet when the audit
    began.
    ``not_kept`` is from before ``kept_since``, when the route's runs began to keep hashes. Of the ``unaccounted`` ones this audit
    has ``sent`` some, and ``dead_lettered`` others because the webhook refused them; ``missing`` names the first.

    ``audited_until``: up to then all events that the route wanted are accounted for, or counted here; None if nothing is known.
    ``tenant`` is the connection; ``seconds``, ``api_requests`` and ``token_requests`` are what its routes shared.
    """

    tenant: str
    since: str
    until: str
    outcome: str = ""
    read: int = 0
    delivered: int = 0
    set_aside: int = 0
    left_out: int = 0
    waiting: int = 0
    not_kept: int = 0
    unaccounted: int = 0
    missing: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    dead_lettered: int = 0
    kept_since: str | None = None
    audited_until: str | None = None
    lag_seconds: float = 0.0
    stopped_by: str | None = None
    notes: list[str] = field(default_factory=list)
    api_requests: int = 0
    token_requests: int = 0
    api_waited: float = 0.0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """How many events are still not accounted for."""
        return self.unaccounted - self.sent - self.dead_lettered

    def name(self, event: LogEvent) -> None:
        """Count an event that is not accounted for."""
        self.unaccounted += 1
        if len(self.missing) < LISTED:
            self.missing.append({"log_id": event.log_id, "type": event.type, "date": event.date})

    def conclude(self) -> None:
        """Say in words how it ended.

        :raises LedgerError: when the counts of an audit that nothing stopped do not add up.
        """
        found = self.delivered + self.set_aside + self.left_out + self.waiting + self.not_kept + self.unaccounted
        if not self.stopped_by and (found != self.read or self.left < 0):
            raise LedgerError(f"the audit does not balance: {self.read} read, {found} judged. This is a bug in auth0_webhooks")
        if self.audited_until is None:
            self.outcome = f"not audited: {self.stopped_by}"
            return
        parts = ["everything that was wanted is accounted for"]
        if self.unaccounted:
            parts = [f"{self.unaccounted:,} not accounted for"]
            parts += [f"{self.sent:,} of them delivered now"] if self.sent else []
            parts += [f"{self.dead_lettered:,} of them set aside now"] if self.dead_lettered else []
        parts += [f"{self.waiting:,} still waiting"] if self.waiting else []
        parts += [f"{self.not_kept:,} from before hashes were kept ({self.kept_since})"] if self.not_kept else []
        parts += [f"it ended early: {self.stopped_by}"] if self.stopped_by else []
        self.outcome = ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """For XCom."""
        return asdict(self)

    def lines(self, route: str) -> Iterator[str]:
        """For the log."""
        yield f"{route}: {self.outcome}"
        yield f"  window        {self.since} .. {self.until}, audited until {self.audited_until or '-'}"
        for name in ("read", "delivered", "set_aside", "left_out", "waiting", "not_kept", "unaccounted"):
            yield f"  {name.replace('_', ' '):<12}{getattr(self, name):>10,}"
        yield (
            f"  requests    {self.api_requests:>10,} to the log of {self.tenant}, {self.token_requests} for a token, "
            f"{self.seconds:.0f} s, of which it waited {self.api_waited:.0f} s for the rate limit"
        )
        yield from (f"  note          {note}" for note in self.notes)
        for event in self.missing:
            yield f"    not accounted for: {event['log_id']}  {event['type']:<12} {event['date']}"
        if self.unaccounted > len(self.missing):
            yield f"    and {self.unaccounted - len(self.missing):,} more"
