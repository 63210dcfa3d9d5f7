"""Redaction: what is configured does not leave, at any depth, in any spelling."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth0_webhooks.delivery.progress import State
from auth0_webhooks.privacy.decoding import decode, fold
from auth0_webhooks.privacy.redaction import KEPT, MASK, PSEUDONYM, Redaction, parse_path, parse_rules, redaction_mark
from auth0_webhooks.privacy.user_data import user_data_in
from auth0_webhooks.settings.route import Route
from auth0_webhooks.state.dead_letters import DeadLetterStore
from tests.support.factory import Keeper, delivery, events, log_id, one_batch

KEY = b"k" * 32
EVENT = {
    "date": "2026-11-22T10:00:00.000Z",
    "type": "fp",
    "description": "Wrong password for ada@example.com from 203.0.113.50",
    "connection": "Username-Password-Authentication",
    "client_name": "Back office",
    "ip": "203.0.113.50",
    "user_agent": "Mozilla/5.0 (X11)",
    "user_id": "auth0|5f7c",
    "user_name": "ada@example.com",
    "details": {
        "request": {
            "qs": "login=ada%40example.com",
            "body": {"email": "ADA@example.com", "phone_number": 31612345678, "note": "call 31612345678"},
            "auth": {"user": {"name": "Ada Lovelace", "user_id": "auth0|5f7c"}},
        },
        "raw": '{"who": "Ada Lovelace"}',
        "prompts": [{"name": "login", "user_name": "ada@example.com"}],
        "ada@example.com": {"tries": 3},
        "other": ["2001:db8::7", "grace@example.org", 1.50, True, None],
    },
    "log_id": log_id(1),
}


def redact(rules, event=EVENT, key=KEY):
    (made,) = events(1)
    body = event if isinstance(event, str) else json.dumps(event)
    return Redaction(parse_rules(rules), key).body(made._replace(body=body))


@pytest.mark.parametrize("action", ["mask", "drop", "pseudonym"])
def test_the_preset_leaves_no_user_data_anywhere_and_everything_else_as_it_was(action):
    text = redact({"user_data": action})
    for word in ("ada", "Ada", "Lovelace", "203.0.113", "Mozilla", "5f7c", "31612345678", "2001:db8", "grace"):
        assert word not in text
    left = json.loads(text)
    for key in ("date", "type", "connection", "client_name", "log_id"):
        assert left[key] == EVENT[key]
    assert left["details"]["prompts"][0]["name"] == "login"
    assert left["details"]["other"][2:] == [1.5, True, None]
    assert "1.50" not in json.dumps(EVENT) or "1.50" in text
    assert ("ip" in left) == (action != "drop")


def test_a_mask_a_drop_and_a_pseudonym_each_do_what_they_say():
    left = json.loads(redact({"ip": "drop", "user_name": "mask", "user_id": "pseudonym"}))
    assert "ip" not in left
    assert left["user_name"] == MASK
    assert left["user_id"].startswith(PSEUDONYM)
    assert left["details"]["request"]["auth"]["user"]["user_id"] == left["user_id"]
    assert left["details"]["request"]["auth"]["user"]["name"] == "Ada Lovelace"
    assert left["description"] == f"Wrong password for {MASK} from {MASK}"
    assert left["details"]["request"]["qs"] == f"login={MASK}"


def test_the_same_person_has_the_same_pseudonym_with_the_same_key_only():
    one, again, other_key = (
        json.loads(redact({"user_data": "pseudonym"}, {"user_name": name, "type": "s"}, key))["user_name"]
        for name, key in (("ada@example.com", KEY), ("Ada@Example.com", KEY), ("ada@example.com", b"x" * 32))
    )
    assert one == again != other_key
    # As: printf %s ada@example.com | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
    assert one == "psn_1c46a892e933b2b3b269dc801af7f942"


def test_a_path_counts_more_than_the_preset_and_the_first_path_more_than_the_next():
    left = json.loads(redact({"user_data": "mask", "details.request.*": "drop", "details.request.qs": "mask"}))
    assert left["details"]["request"] == {}
    assert left["user_name"] == MASK


@pytest.mark.parametrize(
    ("path", "event", "left"),
    [
        ("a.b", {"a": {"b": "wxyz", "c": 1}}, {"a": {"c": 1}}),
        ("a.b", {"a": [{"b": 1}, {"c": [2]}]}, {"a": [{}, {"c": [2]}]}),
        ("a.*", {"a": {"b": 1, "c": {"d": 2}}, "b": 3}, {"a": {}, "b": 3}),
        ("**.b", {"a": {"x": {"b": 1}}, "b": 2, "c": 3}, {"a": {"x": {}}, "c": 3}),
        ("a.**.b", {"a": {"b": 1, "x": [{"b": 2}]}, "b": 3}, {"a": {"x": [{}]}, "b": 3}),
        ('a."b.c"', {"a": {"b.c": 1, "b": {"c": 2}}}, {"a": {"b": {"c": 2}}}),
        ("none", {"a": 1}, {"a": 1}),
    ],
)
def test_a_path_fits_keys_any_key_any_depth_and_steps_through_lists(path, event, left):
    assert json.loads(redact({path: "drop"}, event)) == left


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"a..b": "mask"}, r"path 'a..b': expected a key at character 3"),
        ({"": "mask"}, r"expected a key at character 1"),
        ({"a.": "mask"}, r"expected a key at character 3"),
        ({'"a"b': "mask"}, r"expected a dot at character 4"),
        ({"a.**": "mask"}, r"expected a key after '\*\*'"),
        ({"log_id": "mask"}, r"_id, date, log_id, type cannot be redacted"),
        ({"ip": "hide"}, r"path 'ip': expected one of mask, drop, pseudonym"),
        ({5: "mask"}, r"path 5: expected a text"),
        (["ip"], r"expected 'path: action' lines"),
    ],
)
def test_a_rule_that_is_wrong_is_named_with_the_place(rules, message):
    with pytest.raises(ValueError, match=message):
        parse_rules(rules)
    assert parse_path('a."b.c".*') == ("a", "b.c", "*")


def test_numbers_keys_and_their_order_stay_and_what_comes_twice_too():
    text = '{"z": 1e999, "a": 1.50, "a": 12345678901234567890123, "s": "\\ud800", "ip": "x", "log_id": "1"}'
    assert redact({"ip": "mask"}, text) == text.replace('"x"', '"***"')


def test_an_event_that_is_nested_too_deeply_is_masked_from_there_on():
    secret = "ada@example.com"
    text = '{"user_name": "x", "a": ' + '{"a": ' * 80 + f'"{secret}"' + "}" * 80 + "}"
    assert secret not in redact({"user_name": "mask"}, text)
    deep = '{"a": ' * 5000 + f'"{secret}"' + "}" * 5000
    assert json.loads(redact({"a.b": "mask"}, deep) or "{}") is not None
    assert secret not in redact({"a.b": "mask"}, deep)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mail ada@example.com.", ["ada@example.com"]),
        ("mailto:ada@example.com?x=1", ["ada@example.com"]),
        ("from 203.0.113.5:443 and 2001:db8::1", ["203.0.113.5", "2001:db8::1"]),
        ("at 10:00:00, version 1.2.3, a@b, std::string", []),
        ("login=ada%40example.com&ip=2001%3Adb8%3A%3A1&x=%22203.0.113.9%22", ["203.0.113.9", "ada@example.com", "2001:db8::1"]),
        ("ip:203.0.113.9:8080, 203.0.113.10-203.0.113.11, addr#203.0.113.12", [f"203.0.113.{n}" for n in range(9, 13)]),
        ("'o'brien@example.com', ip:2001:db8::7, [2001:db8::8]:443", ["o'brien@example.com", "2001:db8::7", "2001:db8::8"]),
    ],
)
def test_addresses_are_found_in_free_text(text, found):
    assert sorted(user_data_in(text)) == sorted(found)


ODD = 'Zoë "Zo" O\'Brien/(x) +1\\2'


@pytest.mark.parametrize(
    "spelled",
    [
        ODD,
        quote(ODD, safe="!'()*"),  # JavaScript's encodeURIComponent
        quote(ODD, safe="!'()*;,/?:@&=+$#"),  # and its encodeURI
        quote_plus(ODD),
        quote(quote(ODD)),
        json.dumps(ODD, ensure_ascii=False),
        json.dumps(json.dumps(ODD)),
        json.dumps(ODD).replace("/", "\\/"),
        quote(json.dumps(ODD)),
        ODD.upper(),
    ],
)
def test_a_value_is_found_however_it_is_encoded(spelled):
    left = json.loads(redact({"user_name": "mask"}, {"user_name": ODD, "type": "s", "text": f"x={spelled}&y"}))
    assert re.fullmatch(r'x=[\\"%C0-9]*\*\*\*[\\"%C0-9]*&y', left["text"])


@pytest.mark.parametrize("spelled", ["JÖRG WEISS", "JÖRG WEIẞ", "j%C3%B6rg+WEI%C3%9F", "J\\u00d6RG WEISS"])
def test_a_value_is_found_in_capitals_though_one_letter_becomes_two(spelled):
    left = json.loads(redact({"user_name": "mask"}, {"user_name": "Jörg Weiß", "type": "s", "text": f"for {spelled}!"}))
    assert left["text"] == "for ***!"


def in_utf16(text, unit):
    """The text with each UTF-16 unit spelled, as JavaScript's ``escape()`` and JSON do."""
    encoded = text.encode("utf-16-be", "surrogatepass")
    return "".join(unit.format(int.from_bytes(encoded[at : at + 2])) for at in range(0, len(encoded), 2))


@pytest.mark.parametrize("unit", ["%u{:04X}", "\\u{:04x}"])
@pytest.mark.parametrize("value", ["Ada 😀 Byron", "😀😀", "half \ud83d of one", "\ud83d\ud83d😀", "at its end \ude00\ud83d"])
def test_a_character_beyond_16_bits_is_found_in_the_two_units_that_spell_it(value, unit):
    left = json.loads(redact({"user_name": "mask"}, {"user_name": value, "type": "s", "text": f"x={in_utf16(value, unit)}&y"}))
    assert left["text"] == "x=***&y"


@pytest.mark.parametrize("value", ["\\" * 200, '\\"' * 200, "% " * 200, "%25" * 200, "é\\" * 200], ids=range(5))
def test_no_value_makes_the_search_endless(value):
    redact(
        {"user_name": "mask"}, {"user_name": f"{value}x", "text": value * 5, "more": quote(value) * 5, "other": json.dumps(value)}
    )


def test_an_object_at_a_configured_place_goes_with_its_keys():
    event = {"details": {"form": {"Ada Lovelace": {"x": "grace"}}, "list": [{"Ada": 1}, 5]}, "description": "of grace"}
    assert json.loads(redact({"details.form": "mask", "details.list": "mask"}, event)) == {
        "details": {"form": MASK, "list": [MASK, MASK]},
        "description": f"of {MASK}",
    }


def test_the_preset_knows_a_user_of_scim_and_of_the_management_api():
    body = {
        "externalId": "e-1",
        "name": {"formatted": "Ada M. Lovelace"},
        "phoneNumbers": [{"value": "+31612345678"}],
        "user": {"id": "auth0|5f7c", "login": "lady"},
        "client": {"id": "c-1", "name": "Shop"},
    }
    left = json.loads(redact({"user_data": "mask"}, {"details": {"response": {"body": body}}}))["details"]["response"]["body"]
    assert left == {
        "externalId": MASK,
        "name": MASK,
        "phoneNumbers": [MASK],
        "user": {"id": MASK, "login": MASK},
        "client": {"id": "c-1", "name": "Shop"},
    }


def test_what_is_redacted_once_more_keeps_its_pseudonyms():
    once = redact({"user_data": "pseudonym"}, {"user_name": "ada@example.com", "details": {"x": 1}})
    again = json.loads(redact({"user_data": "pseudonym", "details.x": "drop"}, once))
    assert again == {"user_name": json.loads(once)["user_name"], "details": {}}


# The property: whatever the event, no value at a configured place is anywhere in what is sent.
letters = st.text(alphabet="ghijk lm@.%+-&/\\\"'éßİ😀\u0000\ud800", max_size=12)
numbers = st.one_of(st.integers(1000, 10**20), st.floats(allow_nan=False, allow_infinity=False))
plain = st.one_of(letters, numbers, st.booleans(), st.none())
keys = st.one_of(st.sampled_from(["user_name", "ip", "secret", "deep", "details", "name", "user"]), letters)


def nested(leaves):
    return st.recursive(
        leaves, lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(keys, inside, max_size=3)), max_leaves=12
    )


def every_text(value):
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from every_text(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from every_text(inside)
    elif value is not None and not isinstance(value, bool):
        yield value if isinstance(value, str) else json.dumps(value)


def scalars(value):
    if isinstance(value, dict):
        return [leaf for inside in value.values() for leaf in scalars(inside)]
    if isinstance(value, list):
        return [leaf for inside in value for leaf in scalars(inside)]
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


@settings(max_examples=300, deadline=None)
@given(
    secret=nested(plain),
    around=st.dictionaries(keys, nested(plain), max_size=4),
    template=st.sampled_from(["{}", "for {} here", '{{"inside": "{}"}}', "q={}&r"]),
    action=st.sampled_from(["mask", "drop", "pseudonym"]),
    depth=st.integers(0, 6),
)
def test_no_configured_value_survives_anywhere_at_any_depth(secret, around, template, action, depth):
    leaves = [leaf if isinstance(leaf, str) else json.dumps(leaf) for leaf in scalars(secret)]
    long = [leaf for leaf in leaves if len(leaf) >= 4 and leaf.strip()]
    inside = {"secret": secret}
    for _ in range(depth):
        inside = {"deep": [inside]}
    # The value once more: in texts, as a key, percent-encoded, escaped, in another place of the tree.
    more = {
        f"k{number}": [template.format(leaf), {leaf: {"x": leaf}}, quote(leaf.encode("utf-8", "surrogatepass"), safe="")]
        for number, leaf in enumerate(leaves)
    }
    event = {**around, "log_id": log_id(1), "type": "s", "more": more, "holder": inside}
    event = {key: value for key, value in event.items() if key != "secret"}
    left = json.loads(redact({"**.secret": action}, event))
    assert (left["log_id"], left["type"]) == (log_id(1), "s")
    texts = [text for key, value in left.items() if key not in KEPT for text in every_text(value)]
    # What a mask or a pseudonym is made of is nobody's value.
    texts = [re.sub(r"\*+|psn_[0-9a-f]{32}", "\x01", text) for text in texts]
    for leaf in long:
        assert not any(leaf in text or quote(leaf.encode("utf-8", "surrogatepass"), safe="") in text for text in texts)


addresses = st.one_of(
    st.from_regex(r"[a-z][a-z0-9.'+_-]{0,8}[a-z0-9]@[a-z]{1,8}\.[a-z]{2,4}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str).filter(lambda address: len(address) > 6),
)


@settings(max_examples=300, deadline=None)
@given(
    address=addresses,
    before=st.sampled_from(["", "for ", "q=", "'", "ip:", "[", "%22", "x#"]),
    after=st.sampled_from(["", " here", "&r=1", "'", ", ", "]", "%22", "."]),
    spelling=st.sampled_from([str, lambda text: quote(text, safe="!'()*"), lambda text: quote(quote(text, safe=""))]),
    action=st.sampled_from(["mask", "drop", "pseudonym"]),
)
def test_no_address_in_any_text_survives_the_preset(address, before, after, spelling, action):
    event = {"type": "s", "details": {"note": before + spelling(address) + after, "copy": [{"text": address}]}}
    left = redact({"user_data": action}, event)
    assert address not in left
    assert spelling(address) not in left


# The places of user data that Auth0's events have besides the fields of that name, and what must stay.
MORE = {
    "a user id in a path": (
        {"details": {"path": "/api/v2/users/auth0%7C5f7c12/roles"}},
        ["5f7c12"],
        ["/api/v2/users/", "/roles"],
    ),
    "one of another provider": ({"details": {"path": "/api/v2/users/google-oauth2|10769"}}, ["10769"], ["/users/"]),
    "one of SCIM": ({"details": {"path": "/scim/v2/connections/con_1/Users/e-4711"}}, ["e-4711"], ["con_1"]),
    "a phone number in a text": ({"description": "Code sent to +1 (555) 234-5678."}, ["555", "5678"], ["Code sent to", "."]),
    "a national one": ({"description": "call 0612345678 or 555-234-5678"}, ["0612", "555"], ["call", " or "]),
    "one that is said to be one": ({"description": "phone: 31612345678"}, ["316"], ["phone: "]),
    "one in other spellings": (
        {"phone_number": "+31612345678", "details": {"a": "31612345678", "b": "06-1234 5678", "c": "tel%3A%2B31%206%2012345678"}},
        ["1234", "5678"],
        ["tel%3A"],
    ),
    "a phone of parts": ({"details": {"phone": {"number": "612345678"}, "to": "612345678"}}, ["612345678"], []),
    "an address of parts": ({"details": {"email": {"local": "adalove", "domain": "example.com"}}}, ["adalove", "example"], []),
    "a profile of another provider": (
        {
            "connection": "github-users",
            "details": {
                "profileData": {
                    "login": "adal",
                    "html_url": "https://x.org/adal",
                    "twitter_username": "ada_l",
                    "location": "Ely",
                },
                "text": "adal of Ely is ada_l at https://x.org/adal",
            },
        },
        ["adal", "Ely", "ada_l"],
        ["github-users", " of ", " is "],
    ),
    "metadata of a user": (
        {
            "connection": "Users",
            "details": {"user_metadata": {"plan": "gold", "likes": ["Ruritania"], "kind": "User"}, "t": "Ruritania"},
        },
        ["gold", "Elba"],
        ["Users"],
    ),
    "an HTML-escaped name": (
        {
            "user_name": "O'Brien & <Sons>",
            "details": {"a": "<b>O&#39;Brien &amp; &lt;Sons&gt;</b>", "b": "O&amp;#x27;Brien &amp;amp; &LT;Sons&gt;"},
        },
        ["Brien", "Sons"],
        ["<b>", "</b>"],
    ),
    "a session and a device": ({"details": {"session": {"id": "s-1234"}, "device": {"id": "d-1234"}}}, ["s-1234", "d-1234"], []),
    "a place": (
        {"location_info": {"postal": {"code": "3511AB"}, "subdivision_name": "Utrecht", "country_code": "NL"}},
        ["3511AB", "Utrecht"],
        ["NL"],
    ),
    "odd addresses": (
        {"description": 'of "ada love"@example.com, ada@localhost, ada@[192.0.2.1]'},
        ["ada", "example", "192"],
        ["of ", ", "],
    ),
    "addresses in a form": (
        {"details": {"qs": "to=Ada+ada%2Bx%40example.com&cc=grace%2540example.org"}},
        ["ada", "grace"],
        ["to=", "&cc="],
    ),
    "one in escaped JSON": ({"details": {"body": json.dumps(json.dumps({"a": "\nada@example.com"}))}}, ["ada"], ["a"]),
}


@pytest.mark.parametrize("action", ["mask", "drop", "pseudonym"])
@pytest.mark.parametrize(("event", "gone", "left"), MORE.values(), ids=MORE.keys())
def test_the_preset_knows_user_data_that_stands_elsewhere(event, gone, left, action):
    text = redact({"user_data": action}, {"type": "s", **event})
    assert not [word for word in gone if word in re.sub("psn_[0-9a-f]{32}", "", text)]
    assert not [word for word in left if word not in text]


def test_the_preset_leaves_what_operators_need():
    event = {
        "date": "2026-11-22T10:00:00.123Z",
        "type": "fapi",
        "log_id": log_id(1),
        "client_id": "aaiBEsqSYMhkTTcVYqgQhHSXoTnaRFYT",
        "connection_id": "con_ZLs5gRmLyKpY6A4D",
        "error_code": "403.1.2",
        "details": {
            "times": ["2026-11-22 10:00:00", "22-11-2026 10:00:00", "2026/11/22", 1700000000123, 1700000000, "0.001 234 567 890"],
            "version": "120.0.6099.109",
            "fingerprint": "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99",
            "trace": ["123e4567-e89b-12d3-a456-426614174000", "0af7651916cd43dd8448eb211c80319c", "000000000000"],
            "path": "/api/v2/users/search",
            "scope": "read:users create:users sms|email|otp",
            "code": "Error 1020: std::string at a@b (line 100-200)",
            "uri": "https://example.com/users/login?x=50%25&y=C:\\\\new",
        },
    }
    assert json.loads(redact({"user_data": "mask"}, {**event, "user_name": "ada@example.com"})) == {**event, "user_name": MASK}


def test_a_phone_number_has_one_pseudonym_in_every_spelling():
    left = json.loads(
        redact({"user_data": "pseudonym"}, {"description": "to +31 6 1234 5678, 0612345678", "phone": "+31612345678"})
    )
    assert left["description"] == f"to {left['phone']}, {left['phone']}"


def test_two_keys_that_become_the_same_stay_two():
    left = json.loads(
        redact({"user_data": "mask"}, {"details": {"ada@example.com": 1, "grace@example.com": 2, "al@example.com": 3}})
    )
    assert left == {"details": {"***": 1, "*** 2": 2, "*** 3": 3}}


# Whatever surrounds a value, and however often and in which order it is encoded, it is found, and stays the same person's.
ENCODINGS = {
    "percent": lambda text: quote(text, safe=""),
    "encodeURIComponent": lambda text: quote(text, safe="!'()*"),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "HTML": html.escape,
    "HTML in numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "escape()": lambda text: "".join(quote(c) if ord(c) < 256 else in_utf16(c, "%u{:04x}") for c in text),
    "upper case": str.upper,
}
values = st.one_of(
    st.from_regex(r"[a-z][a-z0-9.'+_-]{2,8}[a-z0-9]@[a-z]{2,8}\.[a-z]{2,4}", fullmatch=True),
    st.from_regex(r"(auth0|samlp)\|[a-f0-9]{8,12}", fullmatch=True),
    st.text(alphabet="abcdé😀'\"<>&%\\\\/+ ßLI0", min_size=6, max_size=14).filter(
        lambda text: len(re.findall("[a-zA-Z]", text)) > 3
    ),
)
surroundings = st.lists(
    st.sampled_from(["@@", "%2525", "%zz", "a@", "&amp;", "&", "\\\\", "1-2 ", "::", "/users/", '"', "aaaa", "%C3", " "]),
    max_size=4,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    value=values,
    encodings=st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=3),
    before=surroundings,
    after=surroundings,
    action=st.sampled_from(["mask", "drop", "pseudonym"]),
)
def test_no_value_of_a_user_survives_among_hostile_texts_in_any_encoding(value, encodings, before, after, action):
    spelled = value
    for name in encodings:
        spelled = ENCODINGS[name](spelled)
    event = {
        "type": "s",
        "user_name": value,
        "details": {"n": 5, "text": f"{before} ={spelled} {after}", "more": [spelled, None, True]},
    }
    left = json.loads(redact({"user_data": action}, event))
    assert left.get("user_name") in {MASK, None} or left["user_name"] == redaction_of(value)
    details = left["details"]
    assert (details["n"], details["more"][1:], list(details)) == (5, [None, True], ["n", "text", "more"])
    for text in (details["text"], details["more"][0]):
        assert spelled not in text
        assert fold(value) not in decode(text).folded
        assert fold(value.casefold()) not in decode(text).folded
    if action == "pseudonym" and not (encodings or value.startswith(" ") or value.endswith(" ")):
        assert details["more"][0] == left["user_name"]


def redaction_of(value: str) -> str:
    return json.loads(redact({"x": "pseudonym"}, {"x": value}))["x"]


def test_dead_letters_hold_the_event_as_it_was_sent_and_remember_the_rules(receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    route = Route(name="r", on_reject="dead_letter", dead_letter_path=str(tmp_path), redact={"number": "mask"})
    store, redaction, made = DeadLetterStore(route), Redaction(route.redact), events(30)
    receiver.behave = lambda post: 422 if post.log_id == log_id(7) else 200
    running = delivery(receiver.url, Keeper(), made, dead_letters=store)
    running.run(lambda: [redaction.batch(one_batch(made))])
    ((letter, event),) = store.letters()
    assert letter.redaction == redaction_mark(route.redact) != ""
    assert json.loads(event.body)["number"] == MASK
    assert {post.event["number"] for post in receiver.posts} == {MASK}
    assert running.progress.counts()[State.DEAD_LETTERED] == 1
