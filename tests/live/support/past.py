"""Events of yesterday, for what reads windows of it; and backfills of them."""

from __future__ import annotations

import contextlib
import urllib.error
from datetime import datetime, timedelta, timezone

HOUR = timedelta(hours=1)


class Past:
    """Four one-hour intervals of yesterday, with events in them, at their seams and around them, in the log of a route."""

    UNDER_WAY = "select id from backfill b where dag_id = ? and completed_at is null"
    ITS_RUNS = "(select 1 from backfill_dag_run r where r.backfill_id = b.id)"

    def __init__(self, route):
        self.route, self.airflow, self.tenant = route, route.airflow, route.tenant
        self.start = (datetime.now(timezone.utc) - timedelta(days=1)).replace(minute=7, second=0, microsecond=0)
        self.ids = {}
        moment = timedelta(milliseconds=1)
        for minute in range(-10, 250, 2):
            self.add(self.start + timedelta(minutes=minute))
        for seam in range(5):
            for offset in (-moment, timedelta(0), timedelta(0), moment):
                self.add(self.start + seam * HOUR + offset)

    def add(self, when):
        kind = "sapi" if len(self.ids) % 7 == 3 else "s"
        self.ids[self.tenant.add(kind, when=when + 6 * HOUR, happened=when)] = (when, kind)

    def wanted(self, first, last):
        since, until = self.start + first * HOUR, self.start + (last + 1) * HOUR
        return sorted(log_id for log_id, (when, kind) in self.ids.items() if since <= when < until and kind != "sapi")

    def sent(self):
        return sorted(log_id for log_id in self.route.receiver.accepted if log_id in self.ids)

    def under_way(self, further="true"):
        return self.airflow.rows(f"{self.UNDER_WAY} and {further}", self.route.name)

    def backfills(self):
        query = "select run_id, state, start_date, end_date from dag_run where dag_id = ? and run_type = 'backfill' order by id"
        return self.airflow.rows(query, self.route.name)

    def wait_for_backfills(self, count):
        def ended():
            return len(self.backfills()) >= count and self.route.all_ended() and not self.under_way()

        self.airflow.wait_until(ended, "the backfill ends", 240)
        assert {state for _, state, *_ in self.backfills()} == {"success"}, self.backfills()

    def create(self, first, last, **more):
        """A backfill of some of the intervals, as the UI asks for it; the last one is included."""
        since, until = (self.start + number * HOUR for number in (first, last))
        asked = {"dag_id": self.route.name, "from_date": since.isoformat(), "to_date": until.isoformat(), **more}

        def created():
            self.cancel_leftover()
            try:
                self.airflow.rest("POST", "/backfills", **asked)
            except urllib.error.HTTPError as error:
                # It is there already, with its runs: an answer got lost while the database was busy.
                return error.code == 409 and bool(self.under_way(f"exists {self.ITS_RUNS}"))
            return True

        # Paused meanwhile: a scheduler that has begun one of the runs that are taken back would end itself.
        self.route.enable(on=False)
        self.airflow.wait_until(created, "the backfill is created", 240)
        self.route.enable()

    def cancel_leftover(self):
        """Where SQLite is busy even taking back can fail, and leave a backfill without runs that keeps others out."""
        for (backfill_id,) in self.under_way(f"not exists {self.ITS_RUNS}"):
            with contextlib.suppress(urllib.error.HTTPError):
                self.airflow.rest("PUT", f"/backfills/{backfill_id}/cancel")
