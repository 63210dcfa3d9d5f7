"""A worker frozen in the middle of a save of the checkpoint, thought dead, and back: a real process, HTTP and a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from auth0_webhooks.state import variables
from simulation.receiver import Receiver
from tests.conftest import PROJECT
from tests.support.factory import log_id, most_repeated, wait_for
from tests.support.programs.frozen import Database, deliver

pytestmark = pytest.mark.slow

COUNT, FREEZE_FROM = 1500, 30
"""Events, and the first whose save freezes the worker."""


def frozen_worker(receiver, path):
    command = [
        sys.executable,
        "-m",
        "tests.support.programs.frozen",
        receiver.url,
        str(path),
        str(COUNT),
        "run try 1",
        log_id(FREEZE_FROM),
    ]
    places = os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": places}, cwd=PROJECT)


def has_stopped(process):
    found, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
    return found == process.pid and os.WIFSTOPPED(status)


def test_a_worker_that_is_frozen_in_a_save_loses_nothing_and_costs_at_most_the_bound(tmp_path, monkeypatch):
    path = tmp_path / "variables.db"
    monkeypatch.setattr(variables, "Variable", Database(path))
    with Receiver().running() as receiver:
        frozen = frozen_worker(receiver, path)
        try:
            wait_for(lambda: has_stopped(frozen))
            deliver(receiver.url, COUNT, "run try 2")
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(120) == 0
        started_at = deliver(receiver.url, COUNT, "next try 1")
        assert started_at.position.log_id == log_id(COUNT)
        assert sorted(set(receiver.accepted)) == [log_id(number) for number in range(1, COUNT + 1)]
        assert receiver.repeats <= most_repeated(calls=5)
