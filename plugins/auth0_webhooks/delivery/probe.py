"""What a live run reads while the webhook refuses everything: just enough to find out whether it accepts events again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

from auth0_webhooks.delivery.refusals import MOST_REFUSED
from auth0_webhooks.model.events import LogEvent
from auth0_webhooks.reading.live import Reading

NOTE = (
    f"the webhook refused the last {MOST_REFUSED} events in a row: this run tries at most {MOST_REFUSED}; once the webhook "
    "accepts one, the refused events are handled as on_reject says and normal delivery resumes"
)


def _any(_event: LogEvent) -> bool:
    return True


@dataclass
class ProbeReading(Reading):
    """Reads only as many events as a probe sends.

    :param wants: whether the route wants an event.
    :param done: the log ids of events that the webhook has already acknowledged.
    """

    wants: Callable[[LogEvent], bool] = _any
    done: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, reading: Reading, wants: Callable[[LogEvent], bool], done: frozenset[str]) -> ProbeReading:
        """A copy of another reading that has not started, with the limit of a probe."""
        settings = {each.name: getattr(reading, each.name) for each in fields(reading)}
        return cls(**settings, wants=wants, done=done)

    def events(self) -> Iterator[LogEvent]:
        """Read up to ``limit`` events, and stop after the last one of the probe. Raises what :class:`Reading` raises."""
        left = MOST_REFUSED
        for event in super().events():
            yield event
            left -= self.wants(event) and event.log_id not in self.done
            if not left:
                self.stopped = "limit"
                return
