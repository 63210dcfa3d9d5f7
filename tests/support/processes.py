"""Runs commands that clean up after themselves, also when this process is asked to end."""

from __future__ import annotations

import contextlib
import signal
import subprocess


@contextlib.contextmanager
def started(command, **options):
    """Run a command meanwhile; afterwards it has ended.

    Where something goes wrong it is interrupted. Killed, it would leave the browser and the database of its fixtures running.
    """
    process = subprocess.Popen(command, **options)
    try:
        yield process
    except KeyboardInterrupt:
        raise  # the terminal has interrupted the command, too
    except BaseException:
        process.send_signal(signal.SIGINT)
        raise
    finally:
        process.wait()


def run(command, **options):
    """Run a command as :func:`started`; its exit code."""
    with started(command, **options) as process:
        return process.wait()
