"""A route file with mistakes: all of them are named at once, each with its line, and what is valid goes on working."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth0_webhooks.settings import source
from auth0_webhooks.settings.routes_file import load_routes, read_routes
from auth0_webhooks.settings.source import MAX_BYTES
from tests.conftest import PROJECT

EVERYTHING = """\
defaults:
  gzip: maybe
  exclude_types: [s]
route: {}
routes:
  good:
    gzip: true
  inherits: {}
  broken:
    gzip: false
    loglevel: 1
    log_level: eror
    payload: evnt
    start_from: 2026-02-31
    redact:
      ip: maks
      user_name: mask
      a..b: mask
      user_name: drop
    include_types:
      - auth.login.fial
      - auth.signup
      - auth.logut
    where: "type == 's"
  not a name: {gzip: true}
  broken:
    gzip: false
    max_events: 0
"""


@pytest.fixture
def load(tmp_path):
    def load(content):
        path = tmp_path / "routes.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        routes, errors = load_routes(path)
        return [route.name for route in routes], errors

    return load


def in_short(error):
    """Where a mistake is, and the name that is proposed."""
    where = re.match(r".*?((unknown )?key '\w+'|first on line \d+)", error)[0]
    meant = re.search(r"did you mean .*?\?", error)
    return f"{where}; {meant[0]}" if meant else where


def test_every_mistake_is_named_with_its_line_in_one_go(load):
    names, errors = load(EVERYTHING)
    assert names == ["good"]
    assert [in_short(error) for error in errors] == [
        "routes.yaml:2: defaults: key 'gzip'",
        "routes.yaml:4: unknown key 'route'; did you mean 'routes'?",
        "routes.yaml:11: route 'broken': unknown key 'loglevel'; did you mean 'log_level'?",
        "routes.yaml:12: route 'broken': key 'log_level'; did you mean 'error'?",
        "routes.yaml:13: route 'broken': key 'payload'; did you mean 'event'?",
        "routes.yaml:14: route 'broken': key 'start_from'",
        "routes.yaml:19: route 'broken': key 'redact'",
        "routes.yaml:21: route 'broken': key 'include_types'; did you mean 'auth.login.fail'?",
        "routes.yaml:23: route 'broken': key 'include_types'; did you mean 'auth.logout'?",
        "routes.yaml:24: route 'broken': key 'where'",
        "routes.yaml:25: route 'not a name': key 'name'",
        "routes.yaml:26: routes: 'broken' is defined twice, first on line 9",
        "routes.yaml:28: route 'broken': key 'max_events'",
    ]


def test_each_wrong_path_of_redact_is_named_on_its_line(load):
    errors = load("routes:\n  a:\n    redact:\n      ip: maks\n      user_name: mask\n      a..b: mask\n")[1]
    where = "route 'a': key 'redact'"
    assert errors == [
        f"routes.yaml:4: {where}: path 'ip': expected one of mask, drop, pseudonym (did you mean 'mask'?), got 'maks'",
        f"routes.yaml:6: {where}: path 'a..b': expected a key at character 3",
    ]


def test_a_mistake_in_defaults_is_named_once_even_if_no_route_inherits_it(load):
    names, errors = load("defaults:\n  log_level: loud\nroutes:\n  a: {log_level: 1}\n  b: {log_level: 2}\n")
    assert names == ["a", "b"]
    assert [error.partition(": key")[0] for error in errors] == ["routes.yaml:2: defaults"]


def test_a_rule_about_two_settings_is_applied_to_the_route_that_they_meet_in(load):
    names, errors = load("defaults:\n  alarm_conn_id: webhook_default\nroutes:\n  a: {webhook_conn_id: pager}\n  b: {}\n")
    assert names == ["a"]
    assert [error.partition(", got")[0] for error in errors] == [
        "routes.yaml:2: route 'b': key 'alarm_conn_id': expected a connection of its own, not the webhook's"
    ]


def test_a_key_that_occurs_twice_breaks_only_where_it_counts(load):
    assert load("routes:\n  a: {gzip: true, gzip: false}\n  b: {}\n")[0] == ["b"]
    assert load("defaults: {gzip: true, gzip: false}\nroutes:\n  a: {gzip: true}\n  b: {}\n")[0] == ["a"]
    for twice in ("routes: {a: {}}\nroutes: {b: {}}\n", "defaults: {}\ndefaults: {}\nroutes: {b: {}}\n"):
        names, errors = load(twice)
        assert names == []
        assert [error.partition(" is ")[2] for error in errors] == ["defined twice, first on line 1: keep one of them"]


def test_names_are_taken_as_they_are_written(load):
    assert load("routes:\n  off: {}\n  007: {}\n") == (["off", "007"], [])


def test_a_route_can_take_over_the_settings_of_another_by_yamls_merge_key(load, tmp_path):
    names, errors = load("routes:\n  a: &a {log_level: 1, gzip: true}\n  b: {<<: *a, log_level: 2}\n  c: {<<: [{gzip: 1}, *a]}\n")
    assert (names, errors) == (["a", "b", "c"], [])
    routes = load_routes(tmp_path / "routes.yaml")[0]
    assert [(route.log_level, route.gzip) for route in routes] == [(1, True), (2, True), (1, True)]
    assert load("routes:\n  a: &a {log_levle: 1}\n  b: {<<: *a}\n")[1][1].startswith(
        "routes.yaml:2: route 'b': unknown key 'log_levle'"
    )
    assert load("routes:\n  a: &a {<<: *a}\n")[1] == ["routes.yaml:2: route 'a': '<<' merges a mapping into itself"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "routes.yaml: the file is empty: expected the key 'routes' with one entry per route"),
        (b"# nothing\n", "routes.yaml: the file is empty"),
        ("routes:\n  a: {where: é}".encode("latin-1"), "routes.yaml:2: not UTF-8 (byte 0xe9): save the file in"),
        ("routes: {}".encode("utf-16"), "routes.yaml:1: not UTF-8 (byte 0xff)"),
        (b"routes:\n  a: \x00", "routes.yaml:2: not valid YAML: remove the control character #x00"),
        (b"routes:\n  a: {}\n b: {}\n", "routes.yaml:3: not valid YAML: while parsing a block mapping, expected <block end>"),
        (b"routes: {}\n---\nroutes: {}\n", "routes.yaml:2: not valid YAML: expected a single document"),
        (b"routes: " + b"[" * 1_000, "routes.yaml: not a route file: its values are nested too deeply"),
        (b"routes: {a: {where: !!python/object:os.system x}}", "routes.yaml:1: route 'a': key 'where': could not determine"),
        (b"routes: {a: {watch: " + b"9" * 5_000 + b"}}", "routes.yaml:1: route 'a': key 'watch': no valid value: "),
        (b"x" * 10_000_000, "routes.yaml: this is no route file, or too large for one: it has 10.0 MB, and the limit is 1 MB"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_error_that_says_what_to_do(load, content, message):
    names, errors = load(content)
    assert names == []
    assert len(errors) == 1
    assert errors[0].startswith(message)


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path):
    assert load_routes(tmp_path / "routes.yaml")[1] == [
        f"routes.yaml: there is no such file in {tmp_path}: create it, or correct the name"
    ]
    (tmp_path / "routes.yaml").mkdir()
    assert load_routes(tmp_path / "routes.yaml")[1] == ["routes.yaml: this is a folder: name the route file in it"]


def test_of_a_large_file_no_more_than_the_limit_is_read(tmp_path):
    path = tmp_path / "routes.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse: it uses no disk, and reading all of it would never end
    assert "it has 1,000,000.0 MB" in load_routes(path)[1][0]
    path.write_text("routes:\n  a: {}\n" + "#" * (MAX_BYTES - 16), encoding="utf-8")
    assert len(load_routes(path)[0]) == 1


def test_a_byte_order_mark_is_no_mistake(load):
    assert load(b"\xef\xbb\xbfroutes:\n  a: {}\n") == (["a"], [])


def test_a_value_that_aliases_blow_up_stays_short_in_the_message(load):
    lists = [
        "&a [x]",
        *(f"&{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
    errors = load(f"routes:\n  a:\n    log_types: [{', '.join(lists)}]\n")[1]
    assert len(errors) == 1
    assert len(errors[0]) < 400


SPELLINGS = """\
%YAML 1.1
---
defaults: &all
  retention_days: 0x1E
routes:
  "quoted\\x61": {}
  plain: {where: "a == 'é'", log_types: [f, 'fp', "s",], watch: off, gzip: yes}
  block:
    where: >-
      connection ==
      'Users'
    log_types: |
      f, fp
    start_from: 2026-11-22T10:00:00Z
  merged: {<<: *all, max_events: 1_00}
  ? explicit
  : concurrent_calls: 07
    max_bytes: 1000000
"""


PARTS = st.sampled_from(
    [
        "routes",
        "defaults",
        "name",
        "redact",
        ":",
        ": ",
        "\n",
        "  ",
        "- ",
        "a",
        "1",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "<<",
        "'",
        "? ",
    ]
)


@given(st.binary(max_size=100) | st.lists(PARTS, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_whatever_a_file_holds_reading_it_ends_in_routes_or_mistakes(content):
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        read = read_routes(Path(file.name), "x.yaml")
    assert read.routes or read.mistakes or read.lines == {}
    assert all(mistake.file == "x.yaml" for mistake in read.mistakes)


@pytest.mark.parametrize(
    "content",
    [EVERYTHING, *(path.read_text(encoding="utf-8") for path in sorted(PROJECT.glob("dags/*.yaml")))],
    ids=lambda text: text.partition("\n")[0][:20],
)
def test_without_libyaml_the_same_is_read_only_slower(load, monkeypatch, content):
    with_it = load(content)
    assert source._Fast, "PyYAML has no libyaml here"
    monkeypatch.setattr(source, "_Fast", None)
    assert load(content) == with_it


def test_libyaml_reads_what_pyyaml_reads(tmp_path, monkeypatch):
    """Values, lines and names, in the spellings that YAML has for them."""
    path = tmp_path / "routes.yaml"
    path.write_text(SPELLINGS, encoding="utf-8")
    with_it = read_routes(path, "routes.yaml")
    assert (len(with_it.routes), with_it.mistakes) == (5, [])
    monkeypatch.setattr(source, "_Fast", None)
    assert read_routes(path, "routes.yaml") == with_it


def test_thousands_of_open_brackets_end_in_an_error_and_not_in_a_crash(load):
    for opening in ("[", "{a: ", "- ", "? "):
        names, (error,) = load("routes: " + opening * 20_000)
        assert names == []
        assert error.startswith("routes.yaml")
