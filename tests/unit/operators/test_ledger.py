from __future__ import annotations

import pytest

from auth0_webhooks.errors import LedgerError
from auth0_webhooks.operators.ledger import Report, age


def report(**counts):
    return Report(route="r", run_id="x", **counts)


def test_a_report_that_accounts_for_every_event_balances():
    report(
        read=10, excluded=1, below_level=2, other_type=1, selected=6, delivered_now=2, delivered_before=1, dead_lettered=1,
        refused=1, not_reached=1,
    ).check()  # fmt: skip


@pytest.mark.parametrize(
    "counts",
    [
        {"read": 1},
        {"read": 1, "selected": 1},
        {"read": 1, "excluded": 2},
        {"delivered_now": 1},
        {"delivered_now": 1, "not_reached": -1},
    ],
)
def test_a_report_that_does_not_balance_is_an_error(counts):
    with pytest.raises(LedgerError, match="does not balance"):
        report(**counts).check()


def test_a_delivery_that_ended_well_has_nothing_left():
    counts = {"read": 2, "selected": 2, "delivered_now": 1}
    report(**counts, not_reached=1).check()
    for left in ("not_reached", "refused"):
        with pytest.raises(LedgerError, match="2 selected, 1 of them accounted for"):
            report(**counts, **{left: 1}).check(all_settled=True)


def test_the_text_is_one_block_with_every_count():
    text = report(
        outcome="failed: x", read=12_345, selected=12_345, not_reached=12_345, unknown_type=2, unknown_types={"new": 2},
        retried=3, selected_types={f"t{n}": n for n in range(12)}, stopped="limit",
    ).text()  # fmt: skip
    assert text.startswith("r, live run x: failed: x\n")
    for part in ("12,345", "new 2", "and 4 more", "(3 retries)", "reading stopped early: limit"):
        assert part in text


def test_the_text_counts_one_retry_in_the_singular():
    text = report(read=2, selected=2, delivered_now=2, posts=1, retried=1, repeated=1).text()
    assert "(1 POST) (1 retry) (1 repeat)" in text


def test_a_dry_run_says_what_would_be_sent_by_level_and_type_and_shows_one_event():
    text = report(
        dry_run=True, mode="replay", window="A .. B", outcome="dry run", read=9, selected=9, not_reached=9,
        selected_types={"f": 3, "limit_wc": 1, "s": 4, "new": 1}, first_selected=["1", "2026-11-22T10:00:00.000Z", "f"],
        last_selected=["9", "2026-11-22T11:00:00.000Z", "s"], sample='{\n  "user_name": "***"\n}',
    ).text()  # fmt: skip
    assert text.startswith("r, replay run x: dry run\n")
    assert "would be sent" in text
    assert text.index("critical") < text.index("error") < text.index("info") < text.index("of unknown level")
    for part in ("limit_wc 1", "f 3", "new 1", "10:00:00.000Z  f  1", "11:00:00.000Z  s  9", '"user_name": "***"', "A .. B"):
        assert part in text
    assert "delivered now" not in text


def test_what_waits_for_more_than_half_of_the_retention_warns_with_the_time_left():
    def notes(days, retention):
        made = report(lag_seconds=86_400 * days)
        made.warn_of_age(retention)
        return made.notes

    assert notes(2.4, 5) == notes(20, None) == []
    assert notes(3, 5) == [
        "the checkpoint is 3.0 days behind and the tenant keeps its log 5 days: events will be lost in 2.0 days"
    ]
    assert notes(6, 5)[0].endswith("events are being lost now")


def test_an_age_is_in_seconds_and_0_where_the_date_is_unknown():
    assert age("1970-01-01T00:00:10Z", 25.0) == 15
    assert [age(date, 25.0) for date in (None, "", "x", "2070-01-01T00:00:00Z")] == [0] * 4
