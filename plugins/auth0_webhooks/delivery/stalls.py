"""Ends a delivery that makes no progress."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from auth0_webhooks.errors import DeliveryStalledError

Result = TypeVar("Result")


class Idle:
    """How long a delivery made no progress: no acknowledgement, no refusal, nothing set aside or saved.

    A pause that the webhook asked for does not count. The caller passes all times, as seconds of one monotonic clock.
    """

    def __init__(self, most: float, now: float) -> None:
        self._most, self._since = most, now

    def settled(self, now: float) -> None:
        """Record progress."""
        self._since = max(self._since, now)

    def left(self, now: float, not_before: float = 0.0) -> float:
        """Seconds until the delivery counts as stalled; 0 or less once it does.

        :param not_before: the end of the pause that the webhook asked for.
        """
        return max(self._since, not_before) + self._most - now


def stalled(seconds: float, name: str) -> DeliveryStalledError:
    """The error of a delivery to the endpoint ``name`` that made no progress for ``seconds``."""
    return DeliveryStalledError(
        f"nothing was delivered, refused, set aside or saved for {seconds / 60:.0f} minutes, so something hangs: the network to "
        f"{name}, the storage of dead letters, or Airflow's API server. Acknowledged events are saved; the next run continues "
        "from there"
    )


async def in_thread(function: Callable[..., Result], *args: Any) -> Result:
    """Like :func:`asyncio.to_thread`, but neither the loop nor the process waits for a call that never returns."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def finish(result: Any, error: BaseException | None) -> None:
        if future.done():
            return  # nobody is waiting for the result any more
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = function(*args)
        except BaseException as raised:  # noqa: BLE001 - it is raised where the call is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()
    return await future


async def next_few(source: Iterator[Result], most: int, storing: asyncio.Lock) -> list[Result]:
    """The next few of a run's batches, which are read from Airflow on demand.

    :param storing: the lock around every request to Airflow: a task makes only one at a time.
    """
    async with storing:
        return await in_thread(lambda: list(itertools.islice(source, most)))


async def together(jobs: Iterable[Coroutine[Any, Any, None]], killed: asyncio.Event, grace: float) -> None:
    """Run the jobs at the same time until all are done. Once killed, they have ``grace`` seconds left, and then are cancelled.

    POSTs in flight are always awaited: a late acknowledgement still counts. The jobs' errors are theirs to handle.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    kill = asyncio.create_task(killed.wait())
    done: asyncio.Future[list[Any]] = asyncio.gather(*tasks, return_exceptions=True)
    either: list[asyncio.Future[Any]] = [done, kill]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not done.done():
        await asyncio.wait([done], timeout=grace)
        for task in tasks:
            task.cancel()
    kill.cancel()
    await asyncio.wait([done])
