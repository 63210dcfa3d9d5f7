"""Where an Auth0 log event holds data of a user: the preset ``user_data`` of a route's ``redact``.

Sources: Auth0 docs "Personally Identifiable Information in Auth0 Logs" (names, phone numbers, e-mail and IP addresses) and the
fields of its log event schemas and user profiles.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from urllib.parse import unquote_plus

# As keys are compared: in lower case, without what stands between words, so "user_name", "userName" and "User-Name" are one.
_KEYS = frozenset(
    {
        # who
        "user", "userid", "username", "name", "givenname", "familyname", "middlename", "firstname", "lastname", "fullname",
        "displayname", "nickname", "preferredusername", "loginhint", "upn", "identity", "sub", "sid", "sessionid", "deviceid",
        "picture", "birthdate", "gender", "useremail", "externalid", "formatted", "subject",
        # how to reach them
        "email", "emails", "mail", "emailaddress", "to", "recipient", "recipients", "phone", "phones", "phonenumber", "mobile",
        "mobilephone", "telephone", "phonenumbers",
        # where they are, and with what
        "address", "addresses", "streetaddress", "street", "locality", "postalcode", "zipcode", "zip", "city", "cityname",
        "latitude", "longitude", "ip", "ips", "clientip", "ipaddress", "lastip", "remoteaddress", "xforwardedfor", "useragent",
        "ja3", "ja4",
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

_WHOLE = frozenset({"address", "addresses", "streetaddress", "name", "emails", "phones", "phonenumbers"})
"""Objects that are a user's as a whole; in others each key is looked at by itself."""
_OF_A_USER = frozenset({"id", "login"})
_USERS = frozenset({"user", "users", "identity", "identities", "profile", "target"})
"""What is a user's only in one of these."""

_MAIL = re.compile(r"[^\s\"<>()\[\]{},;:=&?|\\@/#%]+@(?:[\w-]+\.)+[\w-]+")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
# Perhaps with a port behind it, or with what stands before it and a colon.
_IPV6 = re.compile(r"(?<![0-9A-Za-z])(?=[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{3,60}(?![0-9A-Za-z])")


def is_user_data(key: str, parent: str, *, holds_objects: bool = False) -> bool:
    """Whether the value under ``key``, in the object under ``parent``, is a user's.

    :param holds_objects: the value is an object, or a list with one.
    """
    plain = _plain(key)
    if plain == "name" and _plain(parent) in _NAMED:
        return False
    if holds_objects:
        return plain in _WHOLE
    return plain in _KEYS or (plain in _OF_A_USER and _plain(parent) in _USERS)


def user_data_in(text: str) -> list[str]:
    """The e-mail and IP addresses in a text, also in one that is percent-encoded; each as it reads when it is not."""
    found: dict[str, None] = {}
    while "@" in text or ":" in text or "." in text or "%" in text:
        found.update(dict.fromkeys(mail.strip("'`*_.!") for mail in _MAIL.findall(text)))
        found.update(dict.fromkeys(filter(_is_ip, _IPV4.findall(text))))
        found.update(dict.fromkeys(address for run in _IPV6.findall(text) if (address := _ipv6_in(run))))
        encoded, text = text, unquote_plus(text)
        if text == encoded:
            break
    return list(found)


def _ipv6_in(run: str) -> str | None:
    """The address in what is made of its characters: without what stands before or after it and a colon."""
    groups = run.strip(".").split(":")
    candidates = (":".join(groups[first : len(groups) - behind]) for first in range(3) for behind in range(3))
    return next((text for text in candidates if re.search(r"[0-9A-Fa-f]{2}", text) and ":" in text and _is_ip(text)), None)


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
