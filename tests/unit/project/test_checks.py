"""Before a commit the same is checked as by ``make check``."""

from __future__ import annotations

import re

import yaml

from tests.conftest import PROJECT


def test_pre_commit_runs_the_commands_of_make_check():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^check: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [line.removeprefix("\t@$(BIN)/") for line in commands.splitlines()]
    assert {hook["language"] for hook in hooks} == {"system"}
