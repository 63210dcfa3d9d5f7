"""Builds the wheel, and installs it beside an Airflow in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT

UV = str(Path(sys.executable).with_name("uv"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
AIRFLOWS = ("3.3.0", "3.3.1", "3.3.2")
MISSING = re.compile(r"Failed to fetch|error sending request|dns error|Could not connect|offline", re.IGNORECASE)
"""What uv says where no package index can be reached."""


def uv(*arguments: object, timeout: float = 900.0) -> str:
    """Run uv; skips the test where no package index can be reached."""
    done = subprocess.run([UV, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode and MISSING.search(done.stderr):
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from a copy, so that no earlier build gets into it."""
    source = folder / "source"
    shutil.copytree(PROJECT / "plugins", source / "plugins", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    uv("build", "--quiet", "--wheel", "--out-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def airflow(version: str) -> tuple[str, ...]:
    """The requirements of an Airflow as its images have it: with the http provider."""
    return (f"apache-airflow=={version}", f"apache-airflow-core=={version}", "apache-airflow-providers-http")


def interpreters() -> dict[str, str]:
    """The Pythons of this machine that Airflow takes, by their version."""
    found = {}
    for version in PYTHONS:
        places = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
        for place in filter(None, places):
            asked = subprocess.run(
                [place, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True, check=False
            )
            if asked.stdout.strip() == version:
                found[version] = str(place)
                break
    return found


class Environment:
    """A virtual environment, and an AIRFLOW_HOME of its own."""

    def __init__(self, folder: Path, python: str):
        self.python, self.home = folder / "venv" / "bin" / "python", folder / "home"
        self.dags = self.home / "dags"
        self.dags.mkdir(parents=True)
        uv("venv", "--quiet", "--python", python, folder / "venv")

    def install(self, *what: object) -> None:
        """Install packages."""
        uv("pip", "install", "--quiet", "--python", self.python, *what)

    def freeze(self) -> dict[str, str]:
        """What is installed, by name."""
        lines = uv("pip", "freeze", "--python", self.python).splitlines()
        return {re.split(r"==| @ ", line)[0].lower(): line for line in lines}

    def run(self, *arguments: object, timeout: float = 600.0, **environment: str) -> str:
        """Run this environment's Python; returns what it prints."""
        known = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON", "VIRTUAL_ENV"))}
        own = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
        }
        command = [str(self.python), *map(str, arguments)]
        done = subprocess.run(
            command,
            env={**known, **own, **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def evaluate(self, code: str, **environment: str) -> Any:
        """What a program puts into ``found``, by JSON."""
        printed = self.run("-c", f"{code}\nimport json; print('\\nFOUND ' + json.dumps(found))", **environment)
        return json.loads(printed.rpartition("FOUND ")[2])
