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
    ``tenant_back_off``: at most so long, doubled from one try to the next, between the tries of a request to Auth0.
    ``tenant_limit``: a rate limit of Auth0 that lifts sooner is waited for by the request itself.
    """

    task_retry: float = 10.0
    answer: float = 30.0
    post_retries: float = 60.0
    first_back_off: float = 0.5
    longest_back_off: float = 15.0
    kill_grace: float = 3.0
    tenant_back_off: float = 0.5
    tenant_limit: float = 10.0


WAITS = Waits()
