"""Network addresses: which are public."""

from __future__ import annotations

import ipaddress

# A network's gateway translates these to IPv4 addresses (RFC 6052, RFC 8215), including private ones.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
# The allocated part of IPv6 (RFC 4291), and reserved networks that older Pythons do not know (RFC 9637, RFC 7526).
_ALLOCATED = ipaddress.IPv6Network("2000::/3")
_RESERVED = (ipaddress.IPv6Network("3fff::/20"), ipaddress.IPv4Network("192.88.99.0/24"))


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet: not private, loopback, link-local or otherwise reserved."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _TRANSLATED) or ip.teredo or ip.sixtofour:
            return False
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip not in _ALLOCATED:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _RESERVED)
