"""When the watch wakes a route: not again while the run of an earlier wake-up has yet to start.

Airflow keeps wake-ups until no run of the DAG is active, then makes one run for all of them. That run reads what is in the
log when it starts, so a second wake-up before it changes nothing and costs a row in Airflow's database.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def runs_of(dag_id: str) -> int | None:
    """How many runs a DAG has, of every kind and state; None if Airflow does not say."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    try:
        return RuntimeTaskInstance.get_dr_count(dag_id=dag_id)
    except Exception as error:  # noqa: BLE001 - whatever it is, one wake-up too many is better than none
        log.debug("the runs of DAG %s cannot be counted: %s", dag_id, type(error).__name__)
        return None


class WakeUps:
    """The wake-ups of one route. Times are of a monotonic clock, in seconds.

    :param wait: how long after a wake-up that started no run the next one is sent. A wake-up can be lost: Airflow keeps
        none for a paused DAG.
    """

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._runs: int | None = None
        self._due = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time to wake the route again although the watch saw nothing new."""
        return now >= self._due

    def is_needed(self, now: float, runs: int | None) -> bool:
        """Whether a wake-up changes anything: not while there are as many runs as at the last one, until it is due again.

        :param runs: how many there are now, None if that is unknown.
        """
        return runs is None or runs != self._runs or self.is_due(now)

    def woke(self, now: float, runs: int | None) -> None:
        """The route is woken. ``runs`` was counted before, so that a run that the wake-up makes always shows."""
        self._runs, self._due = runs, now + self._wait

    def left(self, now: float) -> None:
        """The route waits for its schedule."""
        self._runs, self._due = None, now + self._wait
