"""What a delivery asks of the place where its checkpoint lies."""

from __future__ import annotations

from typing import Protocol

from auth0_webhooks.model.checkpoint import Checkpoint

ON_LIVE_HOLD = "live runs before that end without a POST. To lift the hold remove hold_until from the route's checkpoint Variable"


class CheckpointMovedError(Exception):
    """Someone else stored a checkpoint while events were being delivered; ``found`` is None when it is gone."""

    def __init__(self, found: Checkpoint | None) -> None:
        super().__init__("the checkpoint was moved by someone else")
        self.found = found


class CheckpointKeeper(Protocol):
    """Where the checkpoint lies. Both calls block, and are made from one thread at a time."""

    on_hold: str
    """What to tell a person about a hold: what becomes of it, and how it is lifted."""

    def load(self) -> Checkpoint | None:
        """Read it; None means that there is none."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Store it.

        :raises CheckpointMovedError: when what is stored is not what was read or saved last.
        """
