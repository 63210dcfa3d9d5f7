"""What the processes of one machine tell each other about a tenant's rate limit.

Tasks that start in the same second know nothing of each other, and Airflow has nothing that only one of them can get at a
time. A locked file is that, costs microseconds, and is released by the kernel if its process dies. Other machines know only
the rate limit that is kept with the token.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from auth0_webhooks.reading.rate_limit import Seen, parse_seen

POLL = 0.02
"""Seconds between two looks at whether the file is free."""


class Turn:
    """The file, while it is locked; without one (a machine on which nothing can be written) it holds nothing."""

    def __init__(self, file: int | None = None) -> None:
        self._file = file

    def read(self) -> Seen:
        """What was seen last on this machine."""
        return parse_seen(os.pread(self._file, 1000, 0).decode("ascii", "replace")) if self._file is not None else Seen()

    def write(self, seen: Seen) -> None:
        """Let the others know."""
        if self._file is not None:
            text = seen.dump().encode()
            with contextlib.suppress(OSError):  # a full disk
                os.pwrite(self._file, text, 0)
                os.ftruncate(self._file, len(text))


class Machine:
    """The file of one tenant on this machine.

    :param tenant: the address of the tenant.
    :param folder: where such files are; the system's folder for temporary files by default.
    """

    def __init__(self, tenant: str, folder: str | None = None) -> None:
        self._folder = Path(folder or tempfile.gettempdir()) / f"auth0_webhooks_{os.getuid()}"
        self.path = self._folder / hashlib.sha256(tenant.encode()).hexdigest()[:32]

    @contextlib.contextmanager
    def turn(self, seconds: float) -> Iterator[Turn]:
        """Lock the file; go on without it after so many seconds, because a frozen process must not hold up all others."""
        file = self._open()
        try:
            yield Turn(file if file is not None and _locked(file, time.monotonic() + seconds) else None)
        finally:
            if file is not None:
                os.close(file)

    def _open(self) -> int | None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._folder.lstat().st_uid != os.getuid():
                return None
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return None


def _locked(file: int, deadline: float) -> bool:
    while not (locked := _try_to_lock(file)) and time.monotonic() < deadline:
        time.sleep(POLL)
    return locked


def _try_to_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
