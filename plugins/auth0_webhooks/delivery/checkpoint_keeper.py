"""The interface between a delivery and the place where its checkpoint is stored."""

from __future__ import annotations

from typing import Protocol

from auth0_webhooks.model.checkpoint import Checkpoint

ON_LIVE_HOLD = "live runs before that send nothing. To lift the hold, remove hold_until from the route's checkpoint Variable"


class CheckpointMovedError(Exception):
    """Someone else stored a checkpoint while events were being delivered; ``found`` is None when it is gone."""

    def __init__(self, found: Checkpoint | None) -> None:
        super().__init__("the checkpoint was moved by someone else")
        self.found = found


class CheckpointKeeper(Protocol):
    """Stores the checkpoint. Both calls block; only one thread at a time makes them."""

    on_hold: str
    """Text for people: what a hold means, and how to lift it."""

    def load(self) -> Checkpoint | None:
        """Read the checkpoint; None if none is stored."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Store the checkpoint.

        :raises CheckpointMovedError: when the stored checkpoint is not the one that was last read or saved here.
        """
