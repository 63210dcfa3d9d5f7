"""How long a run waits for things. Runs use the defaults; tests pass shorter ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Waits:
    """All in seconds.

    ``task_retry``: before the first retry of a task; doubled for each further one.
    ``answer``: for the webhook's answer to one POST (Standard Webhooks advises 15 to 30).
    ``post_retries``: how long one event is retried within the task, from its first failure on.
    ``first_back_off``, ``longest_back_off``: between two tries of a POST; doubled from one to the next.
    ``kill_grace``: for POSTs under way when Airflow ends the task; it kills the process after about 5 s.
    ``last_save``: for what is saved after that; what hangs then is left behind.
    ``stalled``: a delivery that has settled nothing for so long ends itself. Each POST ends within 30 s, and is given up
    after 60 s more: only something that hangs takes longer.
    ``reading``: the most that ``fetch`` may take. The largest live run (a million events, 10,000 requests) takes 1 h 44 min
    at the pace of Auth0's smallest rate limit, 2 requests a second of which 80 % are used; the largest window 11 min.
    ``filtering``: the most that ``filter`` may take, which makes no requests: 7 ms an event in the largest live run.
    ``tenant_back_off``: at most so long, doubled from one try to the next, between the tries of a request to Auth0.
    ``tenant_limit``: a rate limit of Auth0 that lifts sooner is waited for by the request itself.
    ``tenant_answer``: for the whole of one answer of Auth0, headers and body.
    ``window_limits``: so long in all the reading of a window waits for rate limits, since live runs wait for a replay.
    ``settle``: how long after Auth0 took an event in a live run reads past it, so that one of a smaller log id, taken in at
    about the same time, is there by then. Auth0 names no figure; 0 reads all at once.
    """

    task_retry: float = 10.0
    answer: float = 30.0
    post_retries: float = 60.0
    first_back_off: float = 0.5
    longest_back_off: float = 15.0
    kill_grace: float = 3.0
    last_save: float = 20.0
    stalled: float = 1800.0
    reading: float = 6 * 3600.0
    filtering: float = 2 * 3600.0
    tenant_back_off: float = 0.5
    tenant_limit: float = 10.0
    tenant_answer: float = 60.0
    window_limits: float = 900.0
    settle: float = 3.0


WAITS = Waits()
