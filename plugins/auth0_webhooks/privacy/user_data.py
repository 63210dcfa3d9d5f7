"""Where an Auth0 log event contains user data: the preset ``user_data`` of a route's ``redact``.

Sources: Auth0 docs "Personally Identifiable Information in Auth0 Logs" (names, phone numbers, e-mail and IP addresses) and the
fields of its log event schemas and user profiles.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator

from auth0_webhooks.privacy.decoding import Decoded, decode

# Keys are compared in lower case and without separators, so "user_name", "userName" and "User-Name" are the same.
_KEYS = frozenset(
    {
        # who
        "user", "userid", "username", "name", "givenname", "familyname", "middlename", "firstname", "lastname", "fullname",
        "displayname", "nickname", "preferredusername", "loginhint", "upn", "identity", "sub", "sid", "sessionid", "deviceid",
        "picture", "birthdate", "gender", "useremail", "externalid", "formatted", "subject", "usermetadata", "profiledata",
        "originalprofile", "identityuserid", "idpuserid", "newusername", "oldusername", "password", "newpassword", "oldpassword",
        "confirmnewpassword",
        "newuername",  # as Auth0 spells it in fcu
        # contact data
        "email", "emails", "mail", "emailaddress", "to", "recipient", "recipients", "phone", "phones", "phonenumber", "mobile",
        "mobilephone", "telephone", "phonenumbers", "newemail", "oldemail", "newphonenumber", "oldphonenumber",
        # location and device
        "address", "addresses", "streetaddress", "street", "locality", "postalcode", "zipcode", "zip", "city", "cityname",
        "subdivisionname", "latitude", "longitude", "ip", "ips", "clientip", "ipaddress", "lastip", "remoteaddress",
        "xforwardedfor", "useragent", "ja3", "ja4",
    }
)  # fmt: skip
_NAMED = frozenset(
    {
        "auth0client", "client", "clients", "connection", "connections", "prompt", "prompts", "action", "actions",
        "organization", "tenant", "rule", "rules", "hook", "hooks", "role", "roles", "permission", "permissions", "api",
        "resourceserver", "actionerror", "error", "feature", "flow", "flows", "form", "forms", "strategy", "env", "eventschema",
    }
)  # fmt: skip
"""In one of these objects, ``name`` is the name of a thing, not of a user."""

_WHOLE = frozenset(
    {
        "address", "addresses", "streetaddress", "name", "emails", "phones", "phonenumbers", "phone", "phonenumber", "mobile",
        "mobilephone", "telephone", "email", "emailaddress", "usermetadata", "profiledata", "originalprofile",
    }
)  # fmt: skip
"""Objects that are user data as a whole; in others each key is judged separately."""
_OF_A_USER = frozenset({"id", "login", "htmlurl", "twitterusername", "location", "bio", "blog"})
_USERS = frozenset({"user", "users", "identity", "identities", "profile", "target", "session", "sessions", "device", "devices"})
"""``_OF_A_USER`` keys are user data only in one of these objects."""
_PLACED = frozenset({("code", "postal")})
"""(key, object) pairs: the key is user data only in this object."""

# No text makes these slow: an unlimited repetition can start only at the start of a run of its characters.
_LOCAL = r"[^\s\"<>()\[\]{},;:=&?|\\@/#%]"
_DOMAIN = r"\[[0-9A-Za-z.:]{3,60}\]|(?:[\w-]+\.)+[\w-]+|[\w-]{2,}"
_MAIL = re.compile(rf"(?<!{_LOCAL})({_LOCAL}+)@(?=({_DOMAIN}))")
_QUOTED_MAIL = re.compile(rf"(\"[^\"\n]{{1,64}}\")@(?=({_DOMAIN}))")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
# A port may follow, or a word and a colon may precede.
_IPV6 = re.compile(r"(?<![0-9A-Fa-f:.])(?=[0-9A-Fa-f.]{0,60}:[0-9A-Fa-f.]{0,60}:)[0-9A-Fa-f:.]{3,}")
_COMPRESSED_OR_FULL = re.compile(r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{0,4}|\d{1,3}(?:\.\d{1,3}){3})")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{2}")
LONGEST_IPV6 = 60

_GAP = r"[ ().\-/\u00a0]{0,3}"
_PHONE = re.compile(
    # With a country code; in North American form; or with a trunk 0, unless it is a date.
    rf"(?<![\w+])(?<!\d\.)(?:\+\(?\d(?:{_GAP}\d){{7,14}}"
    r"|\(?[2-9]\d\d\)?[ .\-][2-9]\d\d[ .\-]\d{4}"
    rf"|(?!\d\d?[-/.]\d\d?[-/.])\(?00?[ ()\-/]{{0,3}}[1-9](?:{_GAP}\d){{7,12}}"
    r")(?![\w]|[.\-]\d)"
)
_LABELLED_PHONE = re.compile(rf"(?i)(?:phone|mobile|tel|sms|whatsapp)[^\d\n]{{1,20}}(\d(?:{_GAP}\d){{6,14}})(?![\w]|[.\-]\d)")
_DIGIT = re.compile(r"\d[ ().\-/\u00a0]*\d")
_PHONE_SHAPE = re.compile(r"[+(]{0,2}\d[\d ().\-/\u00a0]{5,30}")
FEWEST_DIGITS, MOST_DIGITS = 7, 15
"""Digits of a phone number (ITU-T E.164 allows at most 15)."""

_STRATEGIES = (
    "ad|adfs|amazon|apple|auth0|auth0-adldap|bitbucket|box|custom|dropbox|email|facebook|fitbit|github|google-apps|google-oauth2|"
    "instagram|line|linkedin|oauth1|oauth2|office365|oidc|okta|paypal|pingfederate|salesforce|samlp|sharepoint|shopify|sms|"
    "twitter|vkontakte|waad|windowslive|wordpress|yahoo|yammer|yandex"
)
_USER_ID = re.compile(rf"(?<![\w-])(?:{_STRATEGIES})\|[^\s\"'<>\\/?&#,;(){{}}\[\]]{{3,255}}")
_IN_PATH = re.compile(r"(?i)/(?:users|user-blocks|members|sessions|refresh-tokens)/([^\s\"'<>\\/?&#]{4,255})")


def is_user_data(key: str, parent: str, *, holds_objects: bool = False) -> bool:
    """Whether the value under ``key``, in the object under ``parent``, is user data.

    :param holds_objects: the value is an object, or a list with one.
    """
    plain, above = _plain(key), _plain(parent)
    if plain in {"name", "displayname"} and above in _NAMED:
        return False
    if holds_objects:
        return plain in _WHOLE
    return plain in _KEYS or (plain in _OF_A_USER and above in _USERS) or (plain, above) in _PLACED


def user_data_in(text: str, read: Decoded | None = None) -> list[str]:
    """The e-mail and IP addresses, phone numbers and user ids in a text, decoded.

    :param read: the decoded text, if the caller has it already.
    """
    read = read or decode(text)
    plain, found = read.plain, dict[str, None]()
    if "@" in plain:
        found.update(dict.fromkeys(_mails(plain, read)))
    if "." in plain:
        found.update(dict.fromkeys(filter(_is_ip, _IPV4.findall(plain))))
    if plain.count(":") > 1:
        runs = dict.fromkeys(_with_neighbours(match) for match in _IPV6.finditer(plain))
        found.update(dict.fromkeys(address for run in runs if (address := _ipv6_in(*run))))
    if "|" in plain:
        found.update(dict.fromkeys(id_.rstrip(".") for id_ in _USER_ID.findall(plain) if _is_an_id(id_)))
    if "/" in plain:
        found.update(dict.fromkeys(id_ for id_ in _IN_PATH.findall(plain) if _is_an_id(id_)))
    if len(plain) >= FEWEST_DIGITS and _DIGIT.search(plain):
        numbers = (*_PHONE.findall(plain), *_LABELLED_PHONE.findall(plain))
        found.update(dict.fromkeys(filter(phone_digits, numbers)))
    return list(found)


def phone_digits(text: str) -> str | None:
    """The digits of a text that has the form of a phone number; None for any other text."""
    if not FEWEST_DIGITS <= len(text) <= 35 or not _PHONE_SHAPE.fullmatch(text) or _is_ip(text):
        return None
    digits = re.sub(r"\D", "", text)
    # With fewer different digits it is just zeros or something similar.
    likely = digits.isascii() and FEWEST_DIGITS <= len(digits) <= MOST_DIGITS and len(set(digits)) > 2
    return digits if likely else None


def _mails(plain: str, read: Decoded) -> Iterator[str]:
    pairs: dict[tuple[str, str], None] = {}
    if "+" in plain and read.starts:
        for match in _MAIL.finditer(plain):
            encoded = len(range(*read.span(match.end() - 1, match.end()))) > 1
            # If the @ is encoded, a literal plus would be, too: an unencoded plus is a form's space.
            pairs[_after_blank(match[1], match.start(), read) if encoded else match[1], match[2]] = None
    else:
        pairs = dict.fromkeys(_MAIL.findall(plain))
    for local, domain in pairs:
        if "." in domain or "[" in domain or (len(local) > 1 and re.search(r"[^\W\d]", domain)):
            yield f"{local}@{domain}".strip("'`*_.!")
    for match in _QUOTED_MAIL.finditer(plain) if '"@' in plain else ():
        yield f"{match[1]}@{match[2]}"


def _after_blank(local: str, start: int, read: Decoded) -> str:
    for at in range(len(local) - 1, -1, -1):
        if local[at] == "+" and len(range(*read.span(start + at, start + at + 1))) == 1:
            return local[at + 1 :]
    return local


def _with_neighbours(match: re.Match[str]) -> tuple[str, bool, bool]:
    """A run, and whether a word touches it before and after: std::string, abc:def:ghi."""
    text, start, end = match.string, match.start(), match.end()
    return match[0], start > 0 and text[start - 1].isalnum(), end < len(text) and text[end].isalnum()


def _ipv6_in(run: str, word_before: bool, word_behind: bool) -> str | None:
    """The IPv6 address in a run of its characters, without any prefix or suffix that a colon separates."""
    if len(run) > LONGEST_IPV6:
        # Perhaps several addresses in a row, which cannot be separated: take all of it, unless it is a certificate's fingerprint.
        return None if _FINGERPRINT.fullmatch(run) else run
    groups = run.strip(".").split(":")
    for first in range(word_before, 3):
        for behind in range(word_behind, 3):
            part = ":".join(groups[first : len(groups) - behind])
            likely = ("::" in part or part.count(":") >= 6) and _COMPRESSED_OR_FULL.fullmatch(part)
            # An address is more than colons or a single digit.
            if likely and re.search(r"[0-9A-Fa-f]{2}", part) and _is_ip(part):
                return part
    return None


def _is_an_id(id_: str) -> bool:
    """Whether it is an id and not just words, such as sms|email in a list of factors."""
    return any(character.isdigit() or character == "@" for character in id_.partition("|")[2] or id_)


@functools.lru_cache(maxsize=1024)
def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _is_ip(text: str) -> bool:
    if "." not in text and ":" not in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
