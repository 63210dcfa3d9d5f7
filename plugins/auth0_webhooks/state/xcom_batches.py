"""Passes a run's batches from task to task through XCom, and removes them when the run ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import BatchesMixedError, BatchMissingError, DeliveryStoppedError
from auth0_webhooks.model.batch import WHAT_TO_DO, Batch, label_of, unpack
from auth0_webhooks.model.events import Position
from auth0_webhooks.names import FETCH, FILTER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

log = logging.getLogger(__name__)

OPEN_BATCHES = "open_batches"
"""XCom key of fetch; while it exists, the run's batches have not been removed yet."""


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

    :param made_by: the id of the try.
    :param fetched: what fetch returned; the filter keeps the number and the positions of its batches.
    """

    def __init__(self, context: Context, task_id: str, *, made_by: str, fetched: dict[str, Any]) -> None:
        self._ti, self._task_id, self._made_by, self._count = context["ti"], task_id, made_by, fetched["batches"]
        self._start, self._end = Position(*fetched["start"]), Position(*fetched["batches_end"])
        self._first: Any = None

    def check(self) -> None:
        """Check all batches before the first is used.

        :raises BatchMissingError: when one is no longer there.
        :raises BatchesMixedError: when one belongs to another try, or events are missing between two.
        """
        for number, (packed, _) in enumerate(self._packed()):
            if number == 0:
                self._first = packed  # most runs have one batch, which is then read only once

    def __iter__(self) -> Iterator[Batch]:
        """Each batch in order, checked again because others may write at any time. Raises the same as :meth:`check`."""
        for packed, name in self._packed():
            yield unpack(packed, name=name)

    def _packed(self) -> Iterator[tuple[Any, str]]:
        place = self._start
        for number in range(self._count):
            key = batch_key(number)
            name = f"{key} of task {self._task_id!r}"
            packed = self._first if number == 0 else None
            if packed is None:
                packed = self._ti.xcom_pull(task_ids=self._task_id, key=key)
            label = label_of(packed, name=name)
            if label.made_by != self._made_by:
                raise BatchesMixedError(f"{name} was made by another try than the result of {self._task_id!r}: {WHAT_TO_DO}")
            if (label.number, label.start) != (number, place):
                raise BatchesMixedError(f"events are missing before {name}: {WHAT_TO_DO}")
            place = label.end
            yield packed, name
        if place != self._end:
            raise BatchesMixedError(f"events are missing after the last batch of task {self._task_id!r}: {WHAT_TO_DO}")


def fetched_batches(context: Context) -> tuple[dict[str, Any], Batches]:
    """What fetch returned, and its batches.

    :raises BatchMissingError: when it returned nothing.
    :raises BatchesMixedError: when an earlier version made it.
    """
    task_id = task_of(context, FETCH)
    fetched = _manifest(context, task_id, "batches_end")
    return fetched, Batches(context, task_id, made_by=fetched["fetch"], fetched=fetched)


def filtered_batches(context: Context) -> tuple[dict[str, Any], dict[str, Any], Batches]:
    """What fetch returned, what filter returned, and the batches of filter.

    :raises BatchMissingError: when one of them returned nothing.
    :raises BatchesMixedError: when the filter used another fetch, or an earlier version made one of them.
    """
    task_id = task_of(context, FILTER)
    fetched, filtered = _manifest(context, task_of(context, FETCH), "batches_end"), _manifest(context, task_id, "fetch")
    if filtered["fetch"] != fetched["fetch"]:
        raise BatchesMixedError(f"fetch ran again after filter, so filter must be cleared, too: {WHAT_TO_DO}")
    return fetched, filtered, Batches(context, task_id, made_by=filter_id(fetched, filtered["filter"]), fetched=fetched)


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
    run_id = ti.xcom_pull(task_ids=task_of(context, FETCH), key=OPEN_BATCHES, include_prior_dates=True, map_indexes=-1)
    if not isinstance(run_id, str) or run_id == context["run_id"]:
        return
    if ti.get_dagrun_state(ti.dag_id, run_id) in {"success", "failed"}:
        log.info("removing the batches that run %s left behind", run_id)
        _remove_batches_of(context, run_id, ended=True)


def _remove_batches_of(context: Context, run_id: str, *, ended: bool) -> None:
    """Remove a run's batches. Unless fetch has ended, its mark is kept, so that the next run checks again."""
    from airflow.sdk.execution_time.xcom import XCom

    ti, fetch = context["ti"], task_of(context, FETCH)
    for task_id in (fetch, task_of(context, FILTER)):
        result = ti.xcom_pull(task_ids=task_id, run_id=run_id)
        ended = ended or (task_id == fetch and isinstance(result, dict))
        count = result.get("batches", 0) if isinstance(result, dict) else 0
        number = 0
        # A task that ended early has returned no count, and another try may have pushed more: remove every batch that exists.
        while number < count or ti.xcom_pull(task_ids=task_id, key=batch_key(number), run_id=run_id) is not None:
            XCom.delete(key=batch_key(number), task_id=task_id, dag_id=ti.dag_id, run_id=run_id)
            number += 1
    if ended:
        XCom.delete(key=OPEN_BATCHES, task_id=fetch, dag_id=ti.dag_id, run_id=run_id)


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
