"""A run that is brought to the middle of its delivery, for something to happen to it there."""

from __future__ import annotations

import contextlib
from datetime import date

import psutil

from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.kept_hashes import hash_of, kept_hashes
from auth0_webhooks.state.stored_files import DEFAULT_FOLDER
from tests.support.factory import most_repeated

BOUND = most_repeated(calls=5)
"""How many events may come twice after a kill."""


class Interrupted:
    """The first run of a route; ``end`` checks that all arrived and how many came twice."""

    def __init__(self, route, count=1500):
        self.route, self.airflow, self.receiver = route, route.airflow, route.receiver
        route.tenant.add_many(count)
        self.slow = True
        # Quick at first, then so slowly that there is time for what is to happen.
        self.receiver.behave = lambda _post: ("slow", 0.1) if self.slow and len(self.receiver.posts) > 200 else 200
        route.enable()
        route.wait_for_posts(250)
        ((self.run_id, _),) = route.runs()

    def end(self, repeats, runs=lambda: 1):
        """Wait for the run, start others as the schedule would, and count.

        :param runs: how many of them it may take until one succeeds: one more for each disruption that they came into.
        """
        self.slow = False
        state = self.route.wait_for(self.run_id, 300)
        number = 0
        while not self._succeeds(f"next_{number}"):
            number += 1
            assert number < runs(), self.route.tasks(f"next_{number - 1}")
        assert sorted(set(self.receiver.accepted)) == self.route.wanted()
        assert self.receiver.repeats <= repeats
        assert self._kept() >= {hash_of(log_id) for log_id in self.route.wanted()}, "the audit would miss events that arrived"
        print(f"{self.route.name}: {state}, {self.receiver.repeats} repeats of {len(self.receiver.posts)} POSTs")
        return state

    def _succeeds(self, run_id):
        self.route.trigger(run_id)
        return self.route.wait_for(run_id, 300) == "success"

    def _kept(self):
        """The hashes that the runs have kept for the audit."""
        place = Route(name=self.route.name, dead_letter_path=str(self.airflow.home / DEFAULT_FOLDER))
        return {each for file in kept_hashes(place, date.min) for each in file.hashes}

    def process(self):
        """The process of its ``deliver`` task, or None: a descendant of the scheduler, with the title that LocalExecutor sets."""
        query = "select id from task_instance where dag_id = ? and run_id = ? and task_id = 'deliver'"
        ((task_id,),) = self.airflow.rows(query, self.route.name, self.run_id)
        for process in psutil.Process(self.airflow.pids()["scheduler"]).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if (
                    title.startswith("airflow worker -- ")
                    and "LocalExecutor" not in title
                    and f"{task_id}" in title.replace("-", "")
                ):
                    return process
        return None
