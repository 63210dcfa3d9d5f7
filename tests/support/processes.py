"""Runs commands that clean up after themselves, also when this process is asked to end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile


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


@contextlib.contextmanager
def beside(command, **options):
    """A command that runs meanwhile; what it prints comes at the end, in one piece."""
    with tempfile.TemporaryFile() as printed:
        try:
            with started(command, stdout=printed, stderr=subprocess.STDOUT, **options) as running:
                yield running
        finally:
            printed.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(printed.read())
