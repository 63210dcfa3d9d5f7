"""The examples of docs/python-api.md: they load, and they are typed."""

from __future__ import annotations

import re
import subprocess
import sys

from airflow.dag_processing.dagbag import DagBag

from tests.conftest import PROJECT

PAGE = (PROJECT / "docs" / "python-api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_is_a_dag_file(tmp_path):
    (tmp_path / "webhook_routes.yaml").write_text("routes:\n  of_the_file: {}\n", encoding="utf-8")
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    bag = DagBag(dag_folder=str(tmp_path), bundle_path=tmp_path)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"user_blocked", "of_the_file", "auth0_webhook_dead_letters", "blocked_users", "blocked_or_asked"}


def test_every_example_passes_mypy_strict(tmp_path):
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=tmp_path,
        env={"PATH": "", "MYPYPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


def test_the_page_describes_every_public_name():
    import auth0_webhooks

    assert [name for name in auth0_webhooks.__all__ if f"`{name}" not in PAGE] == []
