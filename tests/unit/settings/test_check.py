"""``python -m auth0_webhooks check`` and ``schema``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from auth0_webhooks.cli.commands import main
from auth0_webhooks.settings.schema import as_text
from tests.conftest import PROJECT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Writes route files into the current folder."""
    monkeypatch.chdir(tmp_path)
    return lambda **files: [(tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8") for name, text in files.items()]


def test_a_file_without_mistakes_is_success(folder, capsys):
    folder(routes="routes:\n  a: {}\n  b: {log_types: [f]}\n")
    assert main(["check", "routes.yaml"]) == 0
    assert capsys.readouterr().out == "2 routes in 1 file: no mistakes\n"


def test_the_mistakes_of_all_files_are_named_and_are_failure(folder, capsys):
    folder(one="routes:\n  a: {gzip: maybe}\n", two="routes:\n  b:\n    loglevel: 1\n")
    assert main(["check", "two.yaml", "one.yaml", "three.yaml"]) == 1
    assert [line.partition(": expected one of")[0].partition(": input")[0] for line in capsys.readouterr().out.splitlines()] == [
        "two.yaml:3: route 'b': unknown key 'loglevel' (did you mean 'log_level'?)",
        "one.yaml:2: route 'a': key 'gzip'",
        f"three.yaml: there is no such file in {folder.__closure__[0].cell_contents}: create it, or correct the name",
        "2 routes in 3 files: 3 mistakes",
    ]


def test_a_log_type_that_is_not_known_is_a_note_and_no_mistake(folder, capsys):
    folder(routes="routes:\n  a:\n    exclude_types: []\n    log_types:\n    - f\n    - limt_wc\n")
    assert main(["check", "routes.yaml"]) == 0
    note, summary = capsys.readouterr().out.splitlines()
    assert note.startswith("routes.yaml:6: route 'a': key 'log_types': note: log type 'limt_wc' is not in the table")
    assert "'limit_wc'" in note
    assert summary == "1 route in 1 file: no mistakes"


def test_a_field_that_no_log_type_has_is_a_note_and_no_mistake(folder, capsys):
    folder(routes="routes:\n  a:\n    where: usr_id == 'x'\n    body: '{text: descripton}'\n")
    assert main(["check", "routes.yaml"]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("routes.yaml:3: route 'a': key 'where': note: no known log type has a field 'usr_id'")
    assert second.startswith("routes.yaml:4: route 'a': key 'body': note: no known log type has a field 'descripton'")


def test_a_name_that_two_files_use_is_a_mistake(folder, capsys):
    folder(one="routes:\n  a: {}\n", two="routes:\n\n  a: {}\n")
    assert main(["check", "one.yaml", "two.yaml"]) == 1
    assert capsys.readouterr().out.startswith("two.yaml:3: route 'a': the same name is in one.yaml:2: expected another one")


def test_the_schema_is_printed(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == as_text()


def test_the_commands_run_without_airflow_and_without_its_home(tmp_path):
    (tmp_path / "routes.yaml").write_text("routes:\n  a: {loglevel: 1}\n", encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['airflow'] = None\n", encoding="utf-8")
    environment = {"PYTHONPATH": f"{tmp_path}:{PROJECT / 'plugins'}", "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "auth0_webhooks", "check", "routes.yaml"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("routes.yaml:2: route 'a': unknown key 'loglevel'")
    assert not (tmp_path / "home").exists()
