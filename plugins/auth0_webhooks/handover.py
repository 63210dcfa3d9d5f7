"""How a run's batches pass from task to task through XCom, and how they are removed when it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from auth0_webhooks.errors import BatchMissingError, DeliveryStoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Context

    from auth0_webhooks.batch import Batch

log = logging.getLogger(__name__)

FETCH, FILTER, DELIVER = "fetch", "filter", "deliver"
"""The task ids of a route's DAG."""
OPEN_BATCHES = "open_batches"
"""XCom key of fetch that says, while it is there, that a run's batches have not been removed yet."""


def batch_key(number: int) -> str:
    """The XCom key of a batch."""
    return f"batch_{number:05d}"


def pull_batches(context: Context, task_id: str) -> Iterator[Batch]:
    """The batches that a task of this run pushed, one at a time.

    :raises BatchMissingError: when one is no longer there.
    """
    from auth0_webhooks.batch import unpack

    for number in range(manifest(context, FETCH)["batches"]):
        key = batch_key(number)
        packed = context["ti"].xcom_pull(task_ids=task_id, key=key)
        yield unpack(packed, name=f"{key} of task {task_id!r}")


def remove_batches(context: Context) -> None:
    """Callback after the last word of a run's tasks: no batch, and so no user data, outlives its run.

    A task that was told to end does not have the last word: another try may be at work on the same batches. What it leaves
    is removed when the run ends, or by the next run.
    """
    if not isinstance(context.get("exception"), DeliveryStoppedError):
        _remove_batches_of(context, str(context["run_id"]))


def remove_leftovers(context: Context) -> None:
    """Remove the batches of an ended run whose callbacks never ran, as after a power cut."""
    ti = context["ti"]
    run_id = ti.xcom_pull(task_ids=FETCH, key=OPEN_BATCHES, include_prior_dates=True, map_indexes=-1)
    if not isinstance(run_id, str) or run_id == context["run_id"]:
        return
    if ti.get_dagrun_state(ti.dag_id, run_id) in {"success", "failed"}:
        log.info("removing the batches that run %s left behind", run_id)
        _remove_batches_of(context, run_id)


def _remove_batches_of(context: Context, run_id: str) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    ti = context["ti"]
    fetched = ti.xcom_pull(task_ids=FETCH, run_id=run_id)
    number = 0
    # A fetch that ended early has told no count: then there are as many batches as are found.
    while (
        number < fetched["batches"]
        if isinstance(fetched, dict)
        else ti.xcom_pull(task_ids=FETCH, key=batch_key(number), run_id=run_id) is not None
    ):
        for task_id in (FETCH, FILTER):
            XCom.delete(key=batch_key(number), task_id=task_id, dag_id=ti.dag_id, run_id=run_id)
        number += 1
    XCom.delete(key=OPEN_BATCHES, task_id=FETCH, dag_id=ti.dag_id, run_id=run_id)


def manifest(context: Context, task_id: str) -> dict[str, Any]:
    """What a task of this run returned: the counts that go with its batches.

    :raises BatchMissingError: when it returned nothing.
    """
    result = context["ti"].xcom_pull(task_ids=task_id)
    if not isinstance(result, dict):
        raise BatchMissingError(f"task {task_id!r} of this run left no result in XCom: start a new run")
    return result
