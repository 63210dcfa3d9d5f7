"""A delivery to be killed: python -m tests.support.programs.killed URL CHECKPOINT-FILE EVENTS CALLS MAX-EVENTS."""

from __future__ import annotations

import sys
from pathlib import Path

from auth0_webhooks.model.checkpoint import Checkpoint, parse_checkpoint
from auth0_webhooks.payload.payload import Payload
from tests.support.factory import Keeper, delivery, events, one_batch


class FileKeeper(Keeper):
    """Keeps the checkpoint in a file, each time whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(parse_checkpoint(path.read_text(encoding="utf-8"), key="file") if path.exists() else None)

    def save(self, checkpoint: Checkpoint) -> None:
        super().save(checkpoint)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(checkpoint.dump(), encoding="utf-8")
        temporary.replace(self.path)


if __name__ == "__main__":
    url, path, count, calls, max_events = sys.argv[1:]
    made = events(int(count))
    payload = Payload("array", max_events=int(max_events)) if int(max_events) > 1 else Payload()
    running = delivery(url, FileKeeper(Path(path)), made, payload=payload, concurrent_calls=int(calls))
    running.run(lambda: [one_batch(made[at : at + 2000]) for at in range(0, len(made), 2000)])
