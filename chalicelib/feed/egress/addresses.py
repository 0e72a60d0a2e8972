"""Which network addresses a tenant may have Duebridge connect to: public ones, and no others.

The lists are ours rather than `ipaddress.is_global`, whose answers differ between Python releases and miss what matters
to a cloud: its metadata services, carrier-grade NAT, and IPv4 addresses wrapped in IPv6 ones.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address

LOOPBACK = "loopback"
"""The one rule that a stack running on a single machine may lift."""

_FORBIDDEN_IPV4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), rule)
    for network, rule in (
        # Single addresses first: the more telling reason wins over that of the range around it.
        ("169.254.169.254/32", "metadata"),
        ("169.254.170.2/32", "metadata"),  # credentials of AWS container tasks
        ("100.100.100.200/32", "metadata"),  # Alibaba Cloud
        ("168.63.129.16/32", "metadata"),  # Azure; looks public
        ("192.0.0.192/32", "metadata"),  # Oracle Cloud
        ("0.0.0.0/8", "unspecified"),
        ("127.0.0.0/8", LOOPBACK),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("169.254.0.0/16", "link-local"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),  # documentation, as the next two
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),  # relays from 6to4 days
        ("198.18.0.0/15", "reserved"),  # benchmarks
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # and broadcast
    )
)

_FORBIDDEN_IPV6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), rule)
    for network, rule in (
        ("fd00:ec2::254/128", "metadata"),
        ("fd00:ec2::23/128", "metadata"),  # credentials of AWS pods
        ("fd20:ce::254/128", "metadata"),  # Google Cloud
        ("::/128", "unspecified"),
        ("::1/128", LOOPBACK),
        ("fc00::/7", "private"),
        ("fec0::/10", "private"),  # site-local, withdrawn but still routed in places
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("64:ff9b:1::/48", "private"),  # NAT64 inside one network
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_PROTOCOL_ASSIGNMENTS = IPv6Network("2001::/23")

# Where 32 bits of an IPv6 address are an IPv4 address: the network, its name, the shift to those bits, and a mask that
# undoes how they are written (Teredo stores the client's address inverted).
_EMBEDDINGS: tuple[tuple[IPv6Network, str, int, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), "IPv4-mapped", 0, 0),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated", 0, 0),
    (IPv6Network("64:ff9b::/96"), "NAT64", 0, 0),
    (IPv6Network("2002::/16"), "6to4", 80, 0),
    (IPv6Network("2001::/32"), "Teredo", 0, 0xFFFFFFFF),
    (IPv6Network("2001::/32"), "Teredo", 64, 0),  # the server that a packet would be sent through
    (IPv6Network("::/96"), "IPv4-compatible", 0, 0),
)


def forbidden_rule(address: IPAddress) -> str | None:
    """The rule that forbids connecting to `address`, or None for a public address.

    For an IPv4 address inside an IPv6 one the rule names both, such as `NAT64 metadata`.
    """
    if isinstance(address, IPv4Address):
        return next((rule for network, rule in _FORBIDDEN_IPV4 if address in network), None)
    # A zone ("%eth0") takes no part in the comparison.
    address = IPv6Address(int(address))
    named = next((rule for network, rule in _FORBIDDEN_IPV6 if address in network), None)
    if named is not None:
        return named
    embedded = [
        (form, IPv4Address((int(address) >> shift) & 0xFFFFFFFF ^ inverted))
        for network, form, shift, inverted in _EMBEDDINGS
        if address in network
    ]
    for form, inner in embedded:
        if (rule := forbidden_rule(inner)) is not None:
            return f"{form} {rule}"
    if embedded:
        return None
    if address not in _GLOBAL_UNICAST or address in _PROTOCOL_ASSIGNMENTS:
        return "reserved"
    return None
