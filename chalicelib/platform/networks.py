"""Networks that a credential may be used from: written as CIDR, IPv4 or IPv6."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def network(text: str) -> str:
    """A network in its usual form, such as `203.0.113.0/24`; a single address is a network of one.

    Raises ValueError for anything else, and for an address with bits set behind the prefix: whoever writes
    `203.0.113.7/24` may mean one address or 256.
    """
    address, slash, prefix = text.partition("/")
    # Netmasks would be read as well, and a mask written wrongly as its opposite. A zone means nothing elsewhere.
    if (slash and not (prefix.isascii() and prefix.isdigit())) or "%" in text:
        raise ValueError("a network is written as an address and the length of its prefix, such as 203.0.113.0/24")
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("an IPv4 or IPv6 network is accepted, such as 203.0.113.0/24 or 2001:db8::/32") from None
    if found.network_address != ip_address(address):
        raise ValueError(f"the address has bits set behind the prefix; the network is {found}")
    if isinstance(found.network_address, IPv6Address) and found.network_address.ipv4_mapped is not None:
        raise ValueError("an IPv4 network is written as IPv4")
    return found.with_prefixlen


def holds(networks: Iterable[str], address: str) -> bool:
    """Whether an address is in one of the networks; False for a text that is no address."""
    try:
        found = _plain(address)
    except ValueError:
        return False
    return any(found in ip_network(each) for each in networks)


def within(network: str, networks: Iterable[str]) -> bool:
    """Whether a network lies wholly in one of `networks`, so that it lets in nobody whom that one keeps out."""
    inner = ip_network(network)
    return any(_lies_in(inner, ip_network(each)) for each in networks)


def _lies_in(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _plain(text: str) -> IPv4Address | IPv6Address:
    """The address, as IPv4 when that is what an IPv6 one carries."""
    found = ip_address(text)
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
