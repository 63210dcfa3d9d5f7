"""Network addresses: which are public, and a guard over those that are connected to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

NOT_PUBLIC = "not a public address"
"""What the error says with which a connection to another address is refused."""
# Addresses that a gateway of the network turns into IPv4 ones (RFC 6052, RFC 8215), private ones too.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
# All of IPv6 that is given out (RFC 4291), and what older Pythons do not know to be set apart in it and in IPv4 (RFC 9637, 7526).
_GIVEN_OUT = ipaddress.IPv6Network("2000::/3")
_SET_APART = (ipaddress.IPv6Network("3fff::/20"), ipaddress.IPv4Network("192.88.99.0/24"))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: not private, loopback, link-local or otherwise set apart."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _TRANSLATED) or ip.teredo or ip.sixtofour:
            return False
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _GIVEN_OUT:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SET_APART)


def public_socket(info: Any) -> socket.socket:
    """Make the socket of a connection that is about to be made, if its address is public.

    Checked here and not where a name is resolved: between the two a name server could give another answer.

    :param info: what ``getaddrinfo`` gives for an address.
    :raises OSError: when the address is not public.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise OSError(f"{address[0]} is {NOT_PUBLIC}")
    return socket.socket(family=family, type=kind, proto=protocol)
