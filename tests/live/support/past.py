"""Events of yesterday, for what reads windows of it; and backfills of them."""

from __future__ import annotations

import contextlib
import urllib.error
from datetime import datetime, timedelta, timezone

HOUR = timedelta(hours=1)


class Past:
    """Four one-hour intervals of yesterday, with events in them, at their seams and around them, in the log of a route."""

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

    def backfills(self):
        query = "select run_id, state, start_date, end_date from dag_run where dag_id = ? and run_type = 'backfill' order by id"
        return self.airflow.rows(query, self.route.name)

    def wait_for_backfills(self, count):
        def ended():
            active = self.airflow.rows("select 1 from backfill where dag_id = ? and completed_at is null", self.route.name)
            return len(self.backfills()) >= count and self.route.all_ended() and not active

        self.airflow.wait_until(ended, "the backfill ends", 240)
        assert {state for _, state, *_ in self.backfills()} == {"success"}, self.backfills()

    def create(self, first, last, *more):
        """``airflow backfill create`` for some of the intervals; --to-date is inclusive."""
        since, until = (self.start + number * HOUR for number in (first, last))
        dates = ("--from-date", since.isoformat(), "--to-date", until.isoformat())

        def created():
            self.cancel_leftover()
            done = self.airflow.cli("backfill", "create", "--dag-id", self.route.name, *dates, *more, check=False)
            # On SQLite the command gives up where the database is busy, having taken back what it did: then again.
            assert done.returncode == 0 or "database is locked" in done.stdout + done.stderr, done.stderr[-2000:]
            return done.returncode == 0

        # Paused meanwhile: a scheduler that has begun one of the runs that are taken back would end itself.
        self.route.enable(on=False)
        self.airflow.wait_until(created, "the backfill is created", 240)
        self.route.enable()

    def cancel_leftover(self):
        """Where SQLite is busy even taking back can fail, and leave a backfill without runs that keeps others out."""
        leftover = (
            "select id from backfill b where dag_id = ? and completed_at is null and not exists "
            "(select 1 from backfill_dag_run r where r.backfill_id = b.id)"
        )
        for (backfill_id,) in self.airflow.rows(leftover, self.route.name):
            with contextlib.suppress(urllib.error.HTTPError):
                self.airflow.rest("PUT", f"/backfills/{backfill_id}/cancel")
