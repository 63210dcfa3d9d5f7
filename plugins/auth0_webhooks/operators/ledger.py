"""The report: a ledger that accounts for every event a run read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from auth0_webhooks.errors import LedgerError
from auth0_webhooks.filtering.log_types import LEVELS, levels
from auth0_webhooks.times import parse_time
from auth0_webhooks.wording import counted

log = logging.getLogger(__name__)

DAY = 86_400.0


@dataclass
class Report:
    """What one run did. Counts are events; times are ISO 8601 in UTC; ``lag_seconds`` and ``slowest_answer`` seconds.

    ``lag_seconds`` is the age of the checkpoint's event while more events are waiting, 0 once the end of the log was reached
    and everything selected was delivered. ``mode`` is live, backfill or replay; the last two read a ``window`` and have no
    checkpoint. ``first_selected`` and ``last_selected`` are (log id, date, type); ``sample`` is an event with its user
    data masked, in a dry run only. ``not_matching`` were left out by ``where``; ``undecided`` were selected because ``where``
    could not be evaluated. ``gap`` is the period whose events had left the tenant's log. ``set_aside`` names the first 20
    dead letters, each with the answer that refused it. ``answers`` counts the POSTs by the status of their answers, ``none``
    where there was none.

    ``api_requests`` were sent to the Management API. ``api_limit`` is the size of its bucket, ``api_remaining`` what the last
    answer left in it, ``api_rate`` the requests a second that the tenant grants as far as its headers show, ``api_waited`` the
    seconds that the run has waited for them.
    """

    route: str
    run_id: str
    mode: str = "live"
    window: str | None = None
    dry_run: bool = False
    outcome: str = ""
    read: int = 0
    excluded: int = 0
    below_level: int = 0
    other_type: int = 0
    not_matching: int = 0
    undecided: int = 0
    unknown_type: int = 0
    selected: int = 0
    delivered_now: int = 0
    delivered_before: int = 0
    dead_lettered: int = 0
    refused: int = 0
    not_reached: int = 0
    repeated: int = 0
    retried: int = 0
    posts: int = 0
    slowest_answer: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    first_event: str | None = None
    last_event: str | None = None
    checkpoint_before: str | None = None
    checkpoint_after: str | None = None
    lag_seconds: float = 0.0
    gap: str | None = None
    stopped: str | None = None
    api_requests: int = 0
    token_requests: int = 0
    api_limit: int | None = None
    api_remaining: int | None = None
    api_rate: float | None = None
    api_waited: float = 0.0
    unknown_types: dict[str, int] = field(default_factory=dict)
    selected_types: dict[str, int] = field(default_factory=dict)
    first_selected: list[str] | None = None
    last_selected: list[str] | None = None
    sample: str | None = None
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def enter(self, figures: Mapping[str, Any]) -> None:
        """Enter the requests to Auth0, which ``figures`` has among others, under the same keys."""
        for key in ("api_requests", "token_requests", "api_limit", "api_remaining", "api_rate", "api_waited"):
            setattr(self, key, figures.get(key, getattr(self, key)))  # the run's fetch may be of an older version

    def check(self, *, all_settled: bool = False) -> None:
        """Make sure that every event is accounted for.

        :param all_settled: the delivery succeeded, so no event may be refused or not reached.
        :raises LedgerError: with the sums that differ.
        """
        dropped = self.excluded + self.below_level + self.other_type + self.not_matching
        settled = self.delivered_now + self.delivered_before + self.dead_lettered + self.refused + self.not_reached
        left = self.refused + self.not_reached if all_settled else 0
        if self.read != dropped + settled or self.selected != settled or self.not_reached < 0 or left:
            raise LedgerError(
                f"the report of {self.run_id} does not balance: {self.read} read, {dropped} left out, {self.selected} "
                f"selected, {settled - left} of them accounted for. This is a bug in auth0_webhooks. To be sure "
                f"that all of its events arrive, replay them: since {self.first_event} until just after {self.last_event}"
            )

    def as_dict(self) -> dict[str, Any]:
        """The report as a dict, for XCom."""
        return asdict(self)

    def seconds_to_loss(self, retention_days: int | None) -> float | None:
        """Seconds until waiting events leave the tenant's log; None if that is unknown."""
        return max(0.0, retention_days * DAY - self.lag_seconds) if retention_days else None

    def warn_of_age(self, retention_days: int | None) -> None:
        """Add a note if the waiting events are older than half of the tenant's retention."""
        if not retention_days or self.lag_seconds <= retention_days * DAY / 2:
            return
        behind, left = self.lag_seconds / DAY, retention_days - self.lag_seconds / DAY
        loss = f"will be lost in {left:.1f} days" if left > 0 else "are being lost now"
        kept = f"the tenant keeps its log {retention_days} days"
        self.notes.append(f"the checkpoint is {behind:.1f} days behind and {kept}: events {loss}")
        log.warning("%s", self.notes[-1])

    def text(self) -> str:
        """The report as one block of text for people."""
        rows: list[tuple[str, object, str]] = [
            ("read", self.read, f"first {self.first_event}, last {self.last_event}" if self.read else ""),
            ("- excluded", self.excluded, "types in exclude_types"),
            ("- below level", self.below_level, ""),
            ("- other type", self.other_type, ""),
            *([("- not matching", self.not_matching, "where")] if self.not_matching else []),
            ("= selected", self.selected, _types(self.selected_types)),
        ]
        if self.dry_run:
            rows += [("  would be sent", self.not_reached, "")]
        else:
            rows += [
                ("  delivered now", self.delivered_now, self._how_delivered()),
                ("  delivered before", self.delivered_before, ""),
                ("  dead-lettered", self.dead_lettered, ""),
                ("  refused", self.refused, ""),
                ("  not reached", self.not_reached, ""),
            ]
        lines = [f"{self.route}, {self.mode} run {self.run_id}: {self.outcome}"]
        lines += [f"  {name:<18}{count:>9,}  {note}".rstrip() for name, count, note in rows]
        if self.undecided:
            lines.append(f"  undecided         {self.undecided:>9,}  selected because `where` could not be evaluated")
        if self.unknown_types:
            lines.append(f"  of unknown type   {self.unknown_type:>9,}  {_types(self.unknown_types)}")
        if self.dry_run:
            lines += self._what_would_be_sent()
        if self.window:
            lines.append(f"  window            {self.window} (checkpoint untouched)")
        else:
            lines += [
                f"  checkpoint        {self.checkpoint_before or 'none'} -> {self.checkpoint_after or 'none'}",
                f"  lag               {self.lag_seconds:,.0f} s"
                + (f", reading stopped early: {self.stopped}" if self.stopped else ""),
                f"  gap               {f'{self.gap}: no longer in the log' if self.gap else 'none'}",
            ]
        lines.append(f"  requests          {self.api_requests} to the log, {self.token_requests} for a token{self._budget()}")
        if not self.dry_run:
            lines.append(f"  slowest answer    {self.slowest_answer:.2f} s")
        lines += [f"  note              {note}" for note in self.notes]
        return "\n".join(lines)

    def _budget(self) -> str:
        if self.api_remaining is None:
            return ""
        rate = f", {self.api_rate * 60:,.0f} a minute" if self.api_rate else ""
        waited = f", waited {self.api_waited:.0f} s" if self.api_waited >= 1 else ""
        return f"; {self.api_remaining:,} of {f'{self.api_limit:,}' if self.api_limit else 'its'} left{rate}{waited}"

    def _how_delivered(self) -> str:
        posts = _and(self.posts, "POST", "POSTs") if self.posts < self.delivered_now else ""
        return posts + _and(self.retried, "retry", "retries") + _and(self.repeated, "repeat", "repeats")

    def _what_would_be_sent(self) -> list[str]:
        by_level: dict[int, Counter[str]] = {}
        for code, count in self.selected_types.items():
            by_level.setdefault(levels().get(code, -1), Counter())[code] += count
        lines = [
            f"    {LEVELS[level] if level >= 0 else 'of unknown level':<18}{types.total():>7,}  {_types(types, most=20)}"
            for level, types in sorted(by_level.items(), reverse=True)
        ]
        for name, event in (("first", self.first_selected), ("last", self.last_selected)):
            if event:
                log_id, date, kind = event
                lines.append(f"    {name:<6}{date}  {kind}  {log_id}")
        if self.sample:
            lines.append("    the first event, with its user data masked")
            lines += [f"      {line}" for line in self.sample.splitlines()]
        return lines


def age(date: str | None, now: float) -> float:
    """Seconds from an event's date to ``now`` (Unix time); 0 where the date is unknown."""
    try:
        return max(0.0, now - parse_time(date).timestamp())
    except ValueError:
        return 0.0


def _types(counts: dict[str, int], most: int = 8) -> str:
    common = Counter(counts).most_common(most)
    rest = len(counts) - len(common)
    return ", ".join(f"{kind or '(none)'} {count}" for kind, count in common) + (f" and {rest} more" if rest > 0 else "")


def _and(count: int, one: str, many: str) -> str:
    return f"({counted(count, one, many)}) " if count else ""
