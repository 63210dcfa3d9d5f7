"""Log events of the shapes, and of the sizes, that Auth0's have: made, or drawn by hypothesis."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from hypothesis import strategies as st

from auth0_webhooks.model.events import LogEvent
from simulation.event_shapes import PUBLISHED
from simulation.events import PERSONAL, event_text, filling
from tests.support.factory import events


def shaped_events(types: Sequence[str] | int, *, first: int = 1) -> list[LogEvent]:
    """Events with consecutive log ids; a number makes so many, of one published type after the other."""
    types = [PUBLISHED[number % len(PUBLISHED)] for number in range(types)] if isinstance(types, int) else types
    made = events(types, first=first)
    return [event._replace(body=event_text(*event[:3], number)) for number, event in enumerate(made, first)]


def shaped_logs(most: int = 5) -> st.SearchStrategy[list[LogEvent]]:
    """Up to so many events of any published type, of different users."""
    types = st.lists(st.sampled_from(PUBLISHED), min_size=1, max_size=most)
    return st.builds(lambda types, first: shaped_events(types, first=first), types, st.integers(1, 10**6))


def users_data(event: LogEvent) -> re.Pattern[str]:
    """A pattern for the user's values of which one of these events was made."""
    filled = filling(event.log_id, event.date, event.type, int(event.log_id[20:]))
    values = {name: re.escape(json.loads(f'"{filled[name]}"')) for name in PERSONAL}
    # A name is part of many words.
    return re.compile("|".join(rf"\b{value}\b" if name in {"given", "family"} else value for name, value in values.items()))
