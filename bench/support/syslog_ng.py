"""A peer in C: the http() destination of syslog-ng, where it is installed, sends the same events to the same receiver."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from auth0_webhooks.model.events import LogEvent
from bench.support.sink import Sink

CONFIGURATION = """\
@version: {version}
options {{ stats-freq(0); log-msg-size(1000000); }};
source events {{ stdin(flags(no-parse) log-iw-size(10000) log-fetch-limit(1000)); }};
destination webhook {{
  http(
    url("{url}")
    method("POST")
    headers("Content-Type: application/json")
    body("${{MSG}}")
    workers({workers})
  );
}};
log {{ source(events); destination(webhook); flags(flow-control); }};
"""
PATIENCE = 120.0


def program() -> str | None:
    """Where syslog-ng is, also where only root's PATH has it."""
    return shutil.which("syslog-ng") or shutil.which("syslog-ng", path="/usr/sbin:/usr/local/sbin")


def version(path: str) -> str:
    """What its configuration has to name, such as ``3.35``."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Config version: ([\d.]+)", said, re.MULTILINE)
    return found[1] if found else "3.35"


def rate(where: Sink, log: Sequence[LogEvent], workers: int) -> float:
    """Events per second from the first arrival to the last: it keeps no checkpoint, and takes any answer of 2xx."""
    path = str(program())
    where.forget()
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "syslog-ng.conf"
        conf.write_text(CONFIGURATION.format(version=version(path), url=where.url, workers=workers), encoding="utf-8")
        state = [f"--{name}={folder}/{name}" for name in ("persist-file", "pidfile", "control")]
        with subprocess.Popen(
            [path, "--foreground", "--no-caps", f"--cfgfile={conf}", *state],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                assert process.stdin
                process.stdin.write("".join(f"{event.body}\n" for event in log).encode())
                process.stdin.flush()
                deadline = time.monotonic() + PATIENCE
                while (counted := where.counted()).posts < len(log):
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise RuntimeError(f"syslog-ng sent {counted.posts} of {len(log)} events")
                    time.sleep(0.05)
            finally:
                process.kill()
    return len(log) / (counted.last - counted.first)
