"""How long a run waits. Runs use the defaults; tests pass shorter times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Waits:
    """All in seconds.

    ``task_retry``: before the first retry of a task; doubled for each further one.
    ``answer``: for the webhook's answer to one POST (Standard Webhooks advises 15 to 30).
    ``post_retries``: how long the task retries one event, from its first failure on.
    ``first_back_off``, ``longest_back_off``: between two tries of a POST; doubled each time.
    ``kill_grace``: for POSTs in flight when Airflow ends the task; it kills the process after about 5 s.
    ``last_save``: for the last save after that; a thread that still hangs is abandoned.
    ``stalled``: a delivery without progress for this long ends itself. Each POST ends within 30 s, and its retries after 60 s
    more, so only something that hangs takes longer.
    ``reading``: the most that ``fetch`` may take. The largest live run (a million events, 10,000 requests) takes 1 h 44 min
    where a rate limit of 2 requests a second is used up to 80 %, but ends earlier (``live_limits``); the largest window 17 min.
    ``filtering``: the most that ``filter`` may take, which makes no requests: 7 ms per event in the largest live run.
    ``tenant_back_off``: the longest first back-off between tries of a request to Auth0; doubled each time.
    ``live_limits``: for the tenant's rate limit in all while a live run reads, because it holds a worker slot meanwhile.
    ``tenant_limit``: for the rate limit at a time, once a live run has events in hand that it could deliver.
    ``tenant_answer``: for one complete answer of Auth0, headers and body.
    ``window_limits``: for the rate limit in all while a window is read; limited because live runs wait for a replay.
    ``audit_limits``: for the rate limit in all while an audit reads: no live run waits for it.
    ``auditing``: the most that an audit may take; ``audit_retry``: before it is tried again.
    ``settle``: a live run reads an event only this long after Auth0 ingested it, so that an event with a smaller log id,
    ingested at about the same time, has appeared by then. Auth0 states no figure; 0 reads everything at once.
    ``late``: a window is read only this long after its end, because Auth0's search shows events with some delay.
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
    live_limits: float = 60.0
    tenant_limit: float = 10.0
    tenant_answer: float = 60.0
    window_limits: float = 900.0
    audit_limits: float = 6 * 3600.0
    auditing: float = 12 * 3600.0
    audit_retry: float = 600.0
    settle: float = 3.0
    late: float = 120.0


WAITS = Waits()
