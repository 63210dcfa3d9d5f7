"""How a delivery takes up the stored checkpoint, and keeps it behind what was acknowledged."""

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

SAVE_SECONDS = 0.5
"""How often the checkpoint is saved at the latest; promised is a second."""


class Saving:
    """The checkpoint of one delivery: adopted when it begins, saved while it goes on.

    ``moved`` is set once someone else has stored a checkpoint, or has taken over: what they stored stays.

    :param start: the checkpoint that the run was read from; ``first`` says that none was stored then.
    :param by_time: the events are a window's, in the order of their dates.
    :param storing: held while something is stored in Airflow or read there: a task makes one such request at a time.
    :param failed: called with what went wrong in a save: nothing may be sent that cannot be remembered.
    :param saved: called after a save, with whether anything had to be stored.
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
        self._now, self._ending = asyncio.Event(), False
        self.stored: Checkpoint | None = None
        self.moved: CheckpointMovedError | SupersededError | None = None

    async def load(self) -> Checkpoint | None:
        """What is stored. Raises what the keeper raises."""
        return await in_thread(self._keeper.load)

    def adopt(self, found: Checkpoint | None) -> bool:
        """Take up the stored checkpoint, never guess one; False when that leaves nothing to do."""
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
        """Whether a person set a bare time: which of the run's events lie before it is unknown, so it is the next run's."""
        return not self._by_time and found.log_id is None and found != self._start

    def soon(self) -> None:
        """Save without waiting for the next time."""
        self._now.set()

    async def go_on(self) -> None:
        """Save from time to time until :meth:`end` is called."""
        while not self._ending:
            try:
                await asyncio.wait_for(self._now.wait(), SAVE_SECONDS)
            except asyncio.TimeoutError:
                pass
            self._now.clear()
            await self.save()

    def end(self) -> None:
        """End :meth:`go_on` after one more save."""
        self._ending = True
        self._now.set()

    async def save(self) -> None:
        """Save what is acknowledged, where that has changed."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be sent that cannot be remembered
            self._failed(error)
            return
        self.stored = checkpoint
        self._progress.unsaved -= count
        self._saved(changed)
