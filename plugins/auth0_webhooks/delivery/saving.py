"""How a delivery adopts the stored checkpoint, and saves it while events are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from auth0_webhooks.delivery.checkpoint_keeper import CheckpointKeeper, CheckpointMovedError
from auth0_webhooks.delivery.progress import Progress
from auth0_webhooks.delivery.stalls import in_thread
from auth0_webhooks.errors import SupersededError
from auth0_webhooks.webhook.posting import Figures

if TYPE_CHECKING:
    from auth0_webhooks.model.checkpoint import Checkpoint
    from auth0_webhooks.model.events import Position

SAVE_SECONDS = 0.05
"""The time between two saves of the checkpoint, while there is something to save and nothing waits for it."""


class Saving:
    """The checkpoint of one delivery: adopted when the delivery starts, saved while it runs.

    ``moved`` is set once someone else stored a checkpoint or took over; their checkpoint is kept.

    :param start: the checkpoint from which fetch read; ``first`` means that none was stored then.
    :param by_time: the events belong to a window and are sorted by date.
    :param storing: the lock around every request to Airflow: a task makes only one at a time.
    :param failed: called with the error of a failed save: no event may be sent whose acknowledgement cannot be saved.
    :param saved: called after a save; its argument says whether anything had to be stored.
    """

    def __init__(
        self,
        keeper: CheckpointKeeper,
        progress: Progress,
        figures: Figures,
        *,
        start: Position,
        first: bool,
        by_time: bool,
        storing: asyncio.Lock,
        failed: Callable[[BaseException], None],
        saved: Callable[[bool], None],
    ) -> None:
        self._keeper, self._progress, self._figures = keeper, progress, figures
        self._start, self._first, self._by_time = start, first, by_time
        self._storing, self._failed, self._saved = storing, failed, saved
        self._due, self._now, self._ending = asyncio.Event(), asyncio.Event(), False
        self.stored: Checkpoint | None = None
        self.moved: CheckpointMovedError | SupersededError | None = None

    async def load(self) -> Checkpoint | None:
        """The stored checkpoint. Raises what the keeper raises."""
        return await in_thread(self._keeper.load)

    def adopt(self, found: Checkpoint | None) -> bool:
        """Adopt the stored checkpoint; never guess one. Returns False if nothing is left to do."""
        self.moved, self._ending = None, False
        if found is None and self._first and self.stored is None:
            return True
        self.stored = found
        if found is None or self._progress.before(found.position, self._start) or self._is_another_time(found.position):
            self._figures.moved_by_hand = True
            return False
        if found.hold and found.hold.until > datetime.now(timezone.utc):
            self._figures.held = found.hold
            return False
        self._progress.adopt(found)
        return True

    def _is_another_time(self, found: Position) -> bool:
        """Whether a person set a bare time. Which of this run's events precede it is unknown, so the next run uses it."""
        return not self._by_time and found.log_id is None and found != self._start

    def due(self) -> None:
        """Save within ``SAVE_SECONDS``."""
        self._due.set()

    def soon(self) -> None:
        """Save at once."""
        self._due.set()
        self._now.set()

    async def go_on(self) -> None:
        """Save whenever there is something to save, until :meth:`end` is called."""
        while not self._ending:
            await self._due.wait()
            try:
                await asyncio.wait_for(self._now.wait(), SAVE_SECONDS)
            except asyncio.TimeoutError:
                pass
            self._due.clear()
            await self.save()
            self._now.clear()  # whoever still waits for a save asks again

    def end(self) -> None:
        """End :meth:`go_on` after one more save."""
        self._ending = True
        self.soon()

    async def save(self) -> None:
        """Save the checkpoint if it has changed."""
        if self.moved:
            return
        checkpoint, count = self._progress.checkpoint(), self._progress.unsaved
        if self._figures.held:
            checkpoint = replace(checkpoint, hold=self._figures.held)
        changed = checkpoint != self.stored
        try:
            if changed:
                async with self._storing:
                    await in_thread(self._keeper.save, checkpoint)
        except Exception as error:  # noqa: BLE001 - after any error: no event may be sent whose acknowledgement cannot be saved
            self._failed(error)
            return
        self.stored = checkpoint
        self._progress.unsaved -= count
        self._saved(changed)
