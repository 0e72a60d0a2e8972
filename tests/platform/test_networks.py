"""Networks as CIDR: read in one way only, and holding the addresses that are in them."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.platform.networks import holds, network, within


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
    ],
)
def test_a_network_has_one_usual_form(text: str, usual: str) -> None:
    assert network(text) == usual


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "203.0.113.0/",
        "203.0.113.0/33",
        "203.0.113.0/-1",
        "203.0.113.0/２4",
        "203.0.113.0/255.255.255.0",
        "203.0.113.0/24/24",
        "203.0.113.7/24",
        "203.0.113",
        "0313.0.113.7",
        "3405803783",
        "office.example",
        "fe80::1%eth0",
        "2001:db8::1/32",
        "::ffff:203.0.113.0/120",
    ],
)
def test_what_is_no_network_or_could_mean_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|address"):
        network(text)


def test_a_slip_in_a_network_is_answered_with_the_network_that_it_is_in() -> None:
    with pytest.raises(ValueError, match=r"the network is 203\.0\.113\.0/24$"):
        network("203.0.113.7/24")


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("::ffff:203.0.113.1", True),
        ("2001:db8:ffff::1", True),
        ("2001:db9::", False),
        ("", False),
        ("test-invoke-source-ip", False),
    ],
)
def test_an_address_is_held_by_either_kind_of_network(address: str, held: bool) -> None:
    assert holds(["203.0.113.0/24", "2001:db8::/32"], address) is held


def _networks(kind: type, bits: int):
    return st.builds(
        lambda address, prefix: kind((address, prefix), strict=False),
        st.integers(0, 2**bits - 1),
        st.integers(0, bits),
    )


@given(_networks(IPv4Network, 32) | _networks(IPv6Network, 128).filter(lambda n: n.network_address.ipv4_mapped is None))
def test_a_network_holds_its_first_and_last_address_and_is_read_back_as_written(found) -> None:
    text = network(str(found))
    assert text == str(found)
    assert network(text) == text
    if found.network_address.version == 4 or found.broadcast_address.ipv4_mapped is None:
        assert holds([text], str(found[0]))
        assert holds([text], str(found[-1]))


@pytest.mark.parametrize(
    ("inner", "outer", "lies_in"),
    [
        ("10.1.0.0/16", ["10.0.0.0/8"], True),
        ("10.0.0.0/8", ["10.0.0.0/8"], True),
        ("10.0.0.0/8", ["10.1.0.0/16"], False),
        ("0.0.0.0/0", ["10.0.0.0/8", "192.0.2.0/24"], False),
        ("192.0.2.7/32", ["10.0.0.0/8", "192.0.2.0/24"], True),
        ("2001:db8:1::/48", ["2001:db8::/32"], True),
        ("2001:db8:1::/48", ["0.0.0.0/0"], False),
        ("10.1.0.0/16", ["::/0"], False),
        ("10.1.0.0/16", [], False),
    ],
)
def test_a_network_within_others_lets_in_nobody_whom_they_keep_out(inner: str, outer: list[str], lies_in: bool) -> None:
    assert within(inner, outer) is lies_in
