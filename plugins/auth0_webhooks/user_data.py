"""Where an Auth0 log event holds data of a user: the preset ``user_data`` of a route's ``redact``.

Sources: Auth0 docs "Personally Identifiable Information in Auth0 Logs" (names, phone numbers, e-mail and IP addresses) and the
fields of its log event schemas and user profiles.
"""

from __future__ import annotations

import functools
import ipaddress
import re

# As keys are compared: in lower case, without what stands between words, so "user_name", "userName" and "User-Name" are one.
_KEYS = frozenset(
    {
        # who
        "user", "userid", "username", "name", "givenname", "familyname", "middlename", "firstname", "lastname", "fullname",
        "displayname", "nickname", "preferredusername", "loginhint", "upn", "identity", "sub", "sid", "sessionid", "deviceid",
        "picture", "birthdate", "gender",
        # how to reach them
        "email", "emails", "mail", "emailaddress", "to", "recipient", "recipients", "phone", "phones", "phonenumber", "mobile",
        "mobilephone", "telephone",
        # where they are, and with what
        "address", "addresses", "streetaddress", "street", "locality", "postalcode", "zipcode", "zip", "cityname", "latitude",
        "longitude", "ip", "ips", "clientip", "ipaddress", "lastip", "remoteaddress", "xforwardedfor", "useragent", "ja3", "ja4",
    }
)  # fmt: skip
_NAMED = frozenset(
    {
        "auth0client", "client", "clients", "connection", "connections", "prompt", "prompts", "action", "actions",
        "organization", "tenant", "rule", "rules", "hook", "hooks", "role", "roles", "permission", "permissions", "api",
        "resourceserver", "flow", "flows", "form", "forms", "strategy", "env", "eventschema",
    }
)  # fmt: skip
"""A ``name`` in one of these is the name of a thing."""

_WHOLE = frozenset({"address", "addresses", "streetaddress"})
"""Objects that are a user's as a whole; in others each key is looked at by itself."""
_SEPARATORS = re.compile(r"[\s\"'`<>()\[\]{},;=&?/\\|]+")


def is_user_data(key: str, parent: str, *, holds_objects: bool = False) -> bool:
    """Whether the value under ``key``, in the object under ``parent``, is a user's.

    :param holds_objects: the value is an object, or a list with one.
    """
    plain = _plain(key)
    if holds_objects:
        return plain in _WHOLE
    return plain in _KEYS and not (plain == "name" and _plain(parent) in _NAMED)


def user_data_in(text: str) -> list[str]:
    """The e-mail and IP addresses in a text."""
    if "@" not in text and ":" not in text and "." not in text:
        return []
    found = []
    for word in _SEPARATORS.split(text):
        if "@" in word:
            found += [part for part in word.strip(".!").split(":") if re.fullmatch(r"[^@]+@[^@]+\.[^@.]+", part)]
        else:
            # Perhaps with a port behind it, or a full stop.
            candidates = {word, word.strip(".:"), word.rpartition(":")[0]}
            found += [candidate for candidate in candidates if _is_ip(candidate)]
    return found


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
