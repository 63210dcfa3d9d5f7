"""docs/settings.md: every setting is on it, as its field describes it."""

from __future__ import annotations

from auth0_webhooks.settings.route import Route
from tests.support.programs.settings_page import GROUPS, PAGE, page


def test_every_setting_has_a_description_and_a_place_on_the_page():
    placed = [name for names in GROUPS.values() for name in names]
    assert sorted(["name", *placed]) == sorted(Route.model_fields)
    assert all(field.description for field in Route.model_fields.values())


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"
