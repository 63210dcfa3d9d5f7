"""Passes a run's batches from task to task through XCom, and removes them when the run ends."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import BatchesMixedError, BatchMissingError, DeliveryStoppedError
from auth0_webhooks.model.batch import WHAT_TO_DO, Batch, label_of, unpack
from auth0_webhooks.model.events import Position
from auth0_webhooks.names import FETCH, FILTER
from auth0_webhooks.times import iso, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

log = logging.getLogger(__name__)

OPEN_BATCHES = "open_batches"
"""XCom key of fetch; while it exists, the run's batches have not been removed yet.

It holds the run's id, and once their removal has begun, also when.
"""
KEPT = 4_000_000
"""So many characters of a run's batches are kept from their check until they are used: those of some 7,000 events. The rest is
pulled again."""
REMOVING = timedelta(minutes=10)
"""So long after its beginning a removal counts as cut off."""


def task_of(context: Context, part: str) -> str:
    """The id of the task that is this part of the route: the one at work, or the nearest of those before and after it.

    :param part: one of the names that the tasks have in a DAG of the route alone, which is also the answer where none is found.
    """
    task: Any = context["task"]
    before, after = ((), ())
    if task.has_dag():
        before, after = (task.get_flat_relatives(upstream=upstream) for upstream in (True, False))
    return next((str(one.task_id) for one in (task, *before, *after) if getattr(one, "part", None) == part), part)


def batch_key(number: int) -> str:
    """The XCom key of a batch."""
    return f"batch_{number:05d}"


class Batches:
    """The batches of one task: all from the try that its manifest names, with no event missing between them.

    XCom can also hold another try's batch: a task may be cleared alone, and a try that was believed dead may come back and
    push. Only the labels are checked, so nothing is decompressed for the check.

    :param fetched: what fetch returned; the filter keeps the number and the positions of its batches.
    :param filtered: what filter returned: then the batches are its own, and those of fetch that it passed on as they are.
    """

    def __init__(self, context: Context, fetched: dict[str, Any], filtered: dict[str, Any] | None = None) -> None:
        self._ti, self._count = context["ti"], fetched["batches"]
        self._start, self._end = Position(*fetched["start"]), Position(*fetched["batches_end"])
        self._fetch = self._made = task_of(context, FETCH), str(fetched["fetch"])
        self._passed_on: frozenset[int] = frozenset()
        if filtered:
            self._made = task_of(context, FILTER), filter_id(fetched, filtered["filter"])
            self._passed_on = frozenset(filtered["passed_on"])
        self._kept: dict[int, str] = {}

    def check(self) -> None:
        """Check all batches before the first is used.

        :raises BatchMissingError: when one is no longer there.
        :raises BatchesMixedError: when one belongs to another try, or events are missing between two.
        """
        room = KEPT
        for number, (packed, _) in enumerate(self._packed()):
            room -= len(packed)
            if room >= 0 or number == 0:
                self._kept[number] = packed

    def __iter__(self) -> Iterator[Batch]:
        """Each batch in order; those that are pulled again are checked again. Raises the same as :meth:`check`."""
        for packed, name in self._packed():
            yield unpack(packed, name=name)

    def _packed(self) -> Iterator[tuple[Any, str]]:
        place = self._start
        for number in range(self._count):
            key = batch_key(number)
            task_id, made_by = self._fetch if number in self._passed_on else self._made
            name = f"{key} of task {task_id!r}"
            packed = self._kept.pop(number, None) or self._ti.xcom_pull(task_ids=task_id, key=key)
            label = label_of(packed, name=name)
            if label.made_by != made_by:
                raise BatchesMixedError(f"{name} was made by another try than the result of {task_id!r}: {WHAT_TO_DO}")
            if (label.number, label.start) != (number, place):
                raise BatchesMixedError(f"events are missing before {name}: {WHAT_TO_DO}")
            place = label.end
            yield packed, name
        if place != self._end:
            raise BatchesMixedError(f"events are missing after the last batch of task {self._made[0]!r}: {WHAT_TO_DO}")


def fetched_batches(context: Context) -> tuple[dict[str, Any], Batches]:
    """What fetch returned, and its batches.

    :raises BatchMissingError: when it returned nothing.
    :raises BatchesMixedError: when an earlier version made it.
    """
    fetched = _manifest(context, task_of(context, FETCH), "batches_end")
    return fetched, Batches(context, fetched)


def filtered_batches(context: Context) -> tuple[dict[str, Any], dict[str, Any], Batches]:
    """What fetch returned, what filter returned, and the batches to deliver.

    :raises BatchMissingError: when one of them returned nothing.
    :raises BatchesMixedError: when the filter used another fetch, or an earlier version made one of them.
    """
    fetched, filtered = (
        _manifest(context, task_of(context, part), key) for part, key in ((FETCH, "batches_end"), (FILTER, "passed_on"))
    )
    if filtered["fetch"] != fetched["fetch"]:
        raise BatchesMixedError(f"fetch ran again after filter, so filter must be cleared, too: {WHAT_TO_DO}")
    return fetched, filtered, Batches(context, fetched, filtered)


def filter_id(fetched: dict[str, Any], filter_try: str) -> str:
    """The id of the batches of one try of filter: fetch's id and filter's own."""
    return f"{fetched['fetch']}.{filter_try}"


def remove_batches(context: Context) -> None:
    """Callback when a run's last task has finished: no batch, and so no user data, outlives its run.

    After a task that was asked to stop nothing is removed, because another try may be using the same batches. Its batches
    are removed when the run ends, or by the next run.
    """
    if not isinstance(context.get("exception"), DeliveryStoppedError):
        _remove_batches_of(context, str(context["run_id"]), ended=context["ti"].task_id == task_of(context, FETCH))


def remove_leftovers(context: Context) -> None:
    """Remove the batches of an ended run whose callbacks never ran, for example after a power cut."""
    ti = context["ti"]
    mark = ti.xcom_pull(task_ids=task_of(context, FETCH), key=OPEN_BATCHES, include_prior_dates=True, map_indexes=-1)
    run_id, since = mark if isinstance(mark, list) else (mark, None)
    if not isinstance(run_id, str) or run_id == context["run_id"]:
        return
    if since and datetime.now(timezone.utc) - parse_time(since) < REMOVING:
        return  # the callback of that run is still at it: a run follows another at once while there is more to read
    if ti.get_dagrun_state(ti.dag_id, run_id) in {"success", "failed"}:
        log.info("removing the batches that run %s left behind", run_id)
        _remove_batches_of(context, run_id, ended=True)


def _remove_batches_of(context: Context, run_id: str, *, ended: bool) -> None:
    """Remove a run's batches. Unless fetch has ended, its mark is kept, so that the next run checks again."""
    from airflow.sdk.execution_time.xcom import XCom

    ti, fetch, select = context["ti"], task_of(context, FETCH), task_of(context, FILTER)
    fetched, filtered = (ti.xcom_pull(task_ids=task_id, run_id=run_id) for task_id in (fetch, select))
    ended = ended or isinstance(fetched, dict)
    count = fetched.get("batches", 0) if isinstance(fetched, dict) else 0
    known = {fetch: {*range(count)}, select: set[int]()}
    if isinstance(filtered, dict):
        known[select] = {*range(filtered.get("batches", 0))} - {*filtered.get("passed_on", ())}
    where = {"dag_id": ti.dag_id, "run_id": run_id}
    if ended and count:
        XCom.set(OPEN_BATCHES, [run_id, iso(datetime.now(timezone.utc))], task_id=fetch, **where)
    for task_id, numbers in known.items():
        # A task that ended early has returned no count, and another try may have pushed more: remove every batch that exists.
        for number in itertools.count():
            key = batch_key(number)
            if number in numbers or ti.xcom_pull(task_ids=task_id, key=key, run_id=run_id) is not None:
                XCom.delete(key=key, task_id=task_id, **where)
            elif number >= count:
                break
    if ended:
        XCom.delete(key=OPEN_BATCHES, task_id=fetch, **where)


def _manifest(context: Context, task_id: str, key: str) -> dict[str, Any]:
    """The result of a task of this run: its batches' counts, and ``key``, which earlier versions did not write."""
    result = context["ti"].xcom_pull(task_ids=task_id)
    if not isinstance(result, dict):
        raise BatchMissingError(
            f"task {task_id!r} of this run has no result in XCom: it is running again or has failed, was marked success "
            f"without having run, or the result was removed; {WHAT_TO_DO}"
        )
    if key not in result:
        raise BatchesMixedError(f"the result of task {task_id!r} was made by an earlier version of auth0_webhooks: {WHAT_TO_DO}")
    return result
