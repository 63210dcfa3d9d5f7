"""Runs the live tests: side by side those that leave each other alone, last those that kill parts of their Airflow.

The tests with a browser have an Airflow of their own beside it: a page does not try again what a busy SQLite refuses.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.live.support.stack import running_airflow, supervising
from tests.support.processes import beside, run

AT_ONCE = 4
"""Tests wait for Airflow more than they work, so more of them go at once than there are cores."""


def main(arguments: list[str]) -> int:
    """Run them; 0 if all passed.

    :param arguments: more arguments for pytest.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that Airflow is ended
    folder = Path(__file__).parent
    browser = [str(folder / name) for name in ("test_page.py", "test_forms.py")]
    disruptive = str(folder / "test_disruptions.py")
    others = [str(folder), *(f"--ignore={file}" for file in (*browser, disruptive))]
    pytest = (sys.executable, "-m", "pytest")
    side_by_side = (*pytest, "-n", str(AT_ONCE), "--dist")
    home = tempfile.TemporaryDirectory(prefix="auth0-webhooks-live-", ignore_cleanup_errors=True)
    with beside([*pytest, *browser, *arguments]) as pages:
        with home as folder_of_airflow, running_airflow(Path(folder_of_airflow)) as airflow, supervising(airflow):
            environment = {**os.environ, "LIVE_AIRFLOW": str(airflow.home)}
            ended = [
                run([*side_by_side, *which, *arguments], env=environment)
                for which in (("loadscope", *others), ("load", disruptive))
            ]
        return max(*ended, pages.wait())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
