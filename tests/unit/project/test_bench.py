"""The benchmarks' own parts: what they count and how they judge. How fast anything is, is theirs to say, not a test's."""

from __future__ import annotations

import re

import pytest
import requests

from bench.delivery import make_log, ours
from bench.support.results import QUOTE, Figure, Part, at_least, at_most, quoted, table_of_targets
from bench.support.sink import sink
from tests.conftest import PROJECT


def test_a_figure_is_quoted_by_its_median_with_the_spread_behind_it():
    assert str(Figure("", (3.0, 1.0, 20.0), "s")) == "3 (1 to 20) s"
    assert str(Figure("", (12_345.6,))) == "12,346"


def test_a_target_is_judged_by_the_median_and_says_met_or_missed():
    figure = Figure("speed", (4.0, 5.0, 9.0), "times")
    part = Part("P", "how", targets=[at_least(figure, 5), at_most(figure, 4.9)])
    assert [target.met for target in part.targets] == [True, False]
    assert table_of_targets([part]).splitlines()[2:] == [
        "| speed | at least 5 | 5 (4 to 9) times | met |",
        "| speed | at most 4.9 | 5 (4 to 9) times | **missed** |",
    ]


def test_a_missed_target_is_explained_and_a_met_one_is_not():
    figure = Figure("speed", (4.0,))
    part = Part("P", "how", targets=[at_least(figure, 5, "the saves take a fifth"), at_most(figure, 5, "never said")])
    assert table_of_targets([part]).splitlines()[-1] == "- speed: the saves take a fifth"


def test_a_page_quotes_the_median_of_the_figure_that_its_link_names():
    page = 'It sends [5](benchmarks.md#delivery "speed") and [6](docs/benchmarks.md#delivery "another").'
    assert quoted(page, [Figure("speed", (1_234.5, 9_999.0, 3.0))]) == page.replace("[5]", "[1,234]")


def test_the_docs_quote_what_the_benchmarks_page_says():
    measured = (PROJECT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^| ]+)[^|]*\|", measured, re.MULTILINE))
    pages = (PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md"))
    quotes = [quote for page in pages for quote in QUOTE.finditer(page.read_text(encoding="utf-8"))]
    assert quotes
    for quote in quotes:
        assert rows.get(quote["name"]) == quote["value"], quote[0]


def test_the_receiver_counts_posts_and_repeats_and_forgets_when_told():
    with sink() as webhook:
        for log_id in ("1", "2", "1"):
            assert requests.post(webhook.url, data="{}", headers={"webhook-id": log_id}, timeout=10).status_code == 200
        counted = webhook.forget()
        assert (counted.posts, counted.repeats) == (3, 1)
        assert webhook.counted().posts == 0


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_a_measured_delivery_arrives_whole_and_once(https):
    with sink(0.001, https=https) as webhook:
        assert ours(webhook, make_log(50)) > 0
        counted = webhook.counted()
        assert (counted.posts, counted.repeats) == (50, 0)
