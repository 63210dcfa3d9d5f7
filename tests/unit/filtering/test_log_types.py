from __future__ import annotations

import pytest

from auth0_webhooks.filtering.log_types import as_markdown, levels, log_types, parse_level, unknown_type_warning
from tests.conftest import PROJECT

WEBTASK = {
    "api_limit": 4, "cls": 0, "coff": 3, "con": 1, "cs": 0, "du": 1, "f": 3, "fc": 3, "fce": 3, "fco": 3, "fcp": 3, "fcpn": 3,
    "fcpr": 3, "fcpro": 4, "fcu": 3, "fdu": 3, "feacft": 3, "fn": 3, "fp": 3, "fs": 3, "fu": 3, "fv": 0, "fvr": 3, "limit_ui": 4,
    "limit_wc": 4, "s": 1, "sce": 1, "scp": 1, "scpn": 1, "scpr": 0, "scu": 1, "sdu": 1, "seacft": 1, "ss": 1, "sv": 0, "svr": 0,
    "w": 2,
}  # fmt: skip


def test_the_37_levels_of_the_webtask_are_kept_exactly():
    assert len(WEBTASK) == 37
    assert {code: log_type.level for code, log_type in log_types().items() if log_type.source == "webtask"} == WEBTASK


def test_every_type_has_a_description_a_level_and_a_category():
    assert len(log_types()) == 187
    assert all(kind.description and kind.category and 0 <= kind.level <= 4 for kind in log_types().values())
    assert levels()["limit_wc"] == 4


@pytest.mark.parametrize(("value", "level"), [(0, 0), ("3", 3), ("error", 3), (" Critical ", 4), (2, 2)])
def test_a_level_is_a_number_or_a_name(value, level):
    assert parse_level(value) == level


@pytest.mark.parametrize("value", [5, -1, "errors", "", None, True, 2.0, [3]])
def test_anything_else_is_no_level(value):
    with pytest.raises(ValueError, match="expected 0 to 4 or one of debug, info"):
        parse_level(value)


def test_an_unknown_type_is_named_with_the_closest_known_one():
    assert unknown_type_warning("limit_wc") is None
    warning = unknown_type_warning("limt_wc")
    assert warning
    assert "'limt_wc'" in warning
    assert "'limit_wc'" in warning
    assert "used as written" in warning


def test_the_page_in_the_docs_is_that_of_the_table():
    page = (PROJECT / "docs" / "log-types.md").read_text(encoding="utf-8")
    assert page == as_markdown() + "\n"
