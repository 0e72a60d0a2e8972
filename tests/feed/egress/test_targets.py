"""Which URLs and addresses are refused, and by which rule."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.feed.egress import Address, DeliveryFailed, ForbiddenAddress, Target, check_url, post, resolve
from chalicelib.feed.egress.addresses import forbidden_rule
from chalicelib.feed.egress.targets import FORBIDDEN_PORTS

PUBLIC = "93.184.216.34"
PUBLIC_IPV6 = "2606:2800:220:1:248:1893:25c8:1946"


def refusal(url, *, allow_loopback=False):
    with pytest.raises(ForbiddenAddress) as refused:
        check_url(url, allow_loopback=allow_loopback)
    assert refused.value.problem()["rule"] == refused.value.rule
    assert refused.value.pointer == "/url"
    return refused.value.rule


class Names:
    """A resolver that answers from a script, one answer per look-up, and counts the look-ups."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.lookups = 0

    def __call__(self, host, port, /, *, type):
        self.lookups += 1
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, type, 6, "", (ip, port)) for ip in self._answers.pop(0)
        ]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        # Addresses as they are
        ("https://169.254.169.254/latest/meta-data/", "metadata"),
        ("https://169.254.170.2/v2/credentials", "metadata"),
        ("https://100.100.100.200/", "metadata"),
        ("https://168.63.129.16/", "metadata"),
        ("https://[fd00:ec2::254]/", "metadata"),
        ("https://169.254.0.1/", "link-local"),
        ("https://10.0.0.1/", "private"),
        ("https://10.255.255.255/", "private"),
        ("https://172.16.0.1/", "private"),
        ("https://172.31.255.255/", "private"),
        ("https://192.168.1.1/", "private"),
        ("https://100.64.0.1/", "carrier-grade NAT"),
        ("https://100.127.255.255/", "carrier-grade NAT"),
        ("https://127.0.0.1/", "loopback"),
        ("https://127.255.255.254/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://localhost/", "loopback"),
        ("https://LOCALHOST./", "loopback"),
        ("https://db.localhost/", "loopback"),
        ("https://0.0.0.0/", "unspecified"),
        ("https://0.1.2.3/", "unspecified"),
        ("https://[::]/", "unspecified"),
        ("https://224.0.0.1/", "multicast"),
        ("https://[ff02::1]/", "multicast"),
        ("https://255.255.255.255/", "reserved"),
        ("https://240.0.0.1/", "reserved"),
        ("https://192.0.2.1/", "reserved"),
        ("https://198.18.0.1/", "reserved"),
        ("https://[2001:db8::1]/", "reserved"),
        ("https://[4000::1]/", "reserved"),
        ("https://[100::1]/", "reserved"),
        ("https://[fd12:3456::1]/", "private"),
        ("https://[fec0::1]/", "private"),
        ("https://[fe80::1]/", "link-local"),
        # Addresses wrapped in addresses
        ("https://[::ffff:169.254.169.254]/", "IPv4-mapped metadata"),
        ("https://[::ffff:7f00:1]/", "IPv4-mapped loopback"),
        ("https://[::ffff:0:10.0.0.1]/", "IPv4-translated private"),
        ("https://[64:ff9b::a9fe:a9fe]/", "NAT64 metadata"),
        ("https://[64:ff9b::10.0.0.1]/", "NAT64 private"),
        ("https://[64:ff9b:1::808:808]/", "private"),
        ("https://[2002:7f00:1::]/", "6to4 loopback"),
        ("https://[2002:c0a8:101::1]/", "6to4 private"),
        ("https://[2001:0:5db8:d822::80ff:fffe]/", "Teredo loopback"),
        ("https://[2001:0:a00:1::a247:27dd]/", "Teredo private"),
        ("https://[::10.0.0.1]/", "IPv4-compatible private"),
        # IPv4 addresses in disguise
        ("https://0x7f.1/", "ambiguous-ipv4"),
        ("https://2130706433/", "ambiguous-ipv4"),
        ("https://017700000001/", "ambiguous-ipv4"),
        ("https://0177.0.0.1/", "ambiguous-ipv4"),
        ("https://127.1/", "ambiguous-ipv4"),
        ("https://127.0.0.01/", "ambiguous-ipv4"),
        ("https://0xA9FEA9FE/", "ambiguous-ipv4"),
        ("https://example.0x1/", "ambiguous-ipv4"),
        ("https://1.2.3.4.5/", "ambiguous-ipv4"),
        ("https://127.0.0.1./", "loopback"),
        ("https://１２７.０.０.１/", "loopback"),
        ("https://127。0。0。1/", "loopback"),
        ("https://①⑥⑨.254.169.254/", "metadata"),
        # URLs that are not what they seem, or not for webhooks
        ("http://example.com/", "scheme"),
        ("http://127.0.0.1/", "loopback"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("//example.com/", "scheme"),
        ("example.com", "scheme"),
        ("", "scheme"),
        ("https://user:pass@example.com/", "userinfo"),
        ("https://example.com@169.254.169.254/", "userinfo"),
        ("https://@example.com/", "userinfo"),
        ("https://example.com/#", "fragment"),
        ("https://example.com/#@169.254.169.254/", "fragment"),
        ("https://example.com:22/", "port"),
        ("https://example.com:80/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:6379/", "port"),
        ("https://example.com:65536/", "syntax"),
        ("https://example.com:-1/", "syntax"),
        ("https://example.com:４４３/", "syntax"),
        ("https://example.com\\@169.254.169.254/", "syntax"),
        ("https://exam\tple.com/", "syntax"),
        ("https://example.com/\r\nHost: internal", "syntax"),
        ("https://example.com/a b", "syntax"),
        ("https://example.com/caf\u00e9", "syntax"),
        ("https://[::1/", "syntax"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://[v1.example]/", "host"),
        ("https://exa%6dple.com/", "host"),
        ("https://exam\u00a0ple.com/", "host"),
        ("https:///hooks", "host"),
        ("https://./", "host"),
        ("https://example.com../", "host"),
        ("https://example..com/", "host"),
        ("https://-example.com/", "host"),
        (f"https://{'a' * 64}.example.com/", "host"),
        (f"https://{'a.' * 127}com/", "host"),
        ("https://intranet/", "host"),
        ("https://fa\u00df.example.com/", "host"),
        ("https://exam\u200dple.com/", "host"),
        (f"https://example.com/{'a' * 2048}", "length"),
    ],
)
def test_a_url_that_leads_inside_or_astray_is_refused_by_the_rule_it_breaks(url, rule):
    assert refusal(url) == rule


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/"), "example.com"),
        ("HTTPS://Example.COM./a?b=%20", Target("https", "example.com", 443, "/a?b=%20"), "example.com"),
        ("https://example.com:/", Target("https", "example.com", 443, "/"), "example.com"),
        ("https://example.com:443/", Target("https", "example.com", 443, "/"), "example.com"),
        ("https://example.com:8443/", Target("https", "example.com", 8443, "/"), "example.com:8443"),
        ("https://my_hooks.example.com?x", Target("https", "my_hooks.example.com", 443, "/?x"), "my_hooks.example.com"),
        ("https://例子.中国/", Target("https", "xn--fsqu00a.xn--fiqs8s", 443, "/"), "xn--fsqu00a.xn--fiqs8s"),
        (f"https://{PUBLIC}/", Target("https", PUBLIC, 443, "/"), PUBLIC),
        ("https://[2606:4700::0:1111]:9443/", Target("https", "2606:4700::1111", 9443, "/"), "[2606:4700::1111]:9443"),
        ("https://[64:ff9b::8.8.8.8]/", Target("https", "64:ff9b::808:808", 443, "/"), "[64:ff9b::808:808]"),
        ("https://172.15.255.255/", Target("https", "172.15.255.255", 443, "/"), "172.15.255.255"),
        ("https://172.32.0.0/", Target("https", "172.32.0.0", 443, "/"), "172.32.0.0"),
        ("https://0xample.com/", Target("https", "0xample.com", 443, "/"), "0xample.com"),
    ],
)
def test_a_public_url_is_taken_in_one_normal_form(url, target, authority):
    assert check_url(url, allow_loopback=False) == target
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/",
        "http://127.0.0.1/",
        "http://[::1]:9000/a",
        "http://a.localhost:8000/",
        "https://localhost/",
    ],
)
def test_this_machine_is_accepted_where_that_is_allowed(url):
    assert check_url(url, allow_loopback=True).loopback


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://example.com/", "scheme"),
        (f"http://{PUBLIC}/", "scheme"),
        ("http://10.0.0.1/", "private"),
        ("http://169.254.169.254/", "metadata"),
        ("https://[::ffff:127.0.0.1]/", "IPv4-mapped loopback"),
        ("http://localhost.example.com/", "scheme"),
        ("http://localhost:6379/", "port"),
        ("http://localhost:443/", "port"),
    ],
)
def test_allowing_this_machine_allows_nothing_else(url, rule):
    assert refusal(url, allow_loopback=True) == rule


@given(port=st.integers(1, 65535))
def test_only_the_schemes_own_port_and_harmless_unprivileged_ones_are_open(port):
    if port == 443 or (port >= 1024 and port not in FORBIDDEN_PORTS):
        assert check_url(f"https://example.com:{port}/", allow_loopback=False).port == port
    else:
        assert refusal(f"https://example.com:{port}/") == "port"


@given(
    st.text()
    | st.text().map("https://{}".format)
    | st.text(alphabet="[]:%.@/\\0123456789abcdefx").map("https://{}/".format)
)
@example("https://[::1]]/")
@example("https://\ud800.com/")
@example("https://a.℀/")
def test_any_text_is_either_refused_or_names_a_host_that_reads_back_the_same(url):
    try:
        target = check_url(url, allow_loopback=False)
    except ForbiddenAddress:
        return
    assert target.host.isascii()
    assert check_url(f"https://{target.authority}{target.path}", allow_loopback=False) == target


@given(st.ip_addresses(v=4))
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address(PUBLIC))
def test_wrapping_an_ipv4_address_in_an_ipv6_one_never_changes_whether_it_is_forbidden(inner):
    rule = forbidden_rule(inner)
    bits = int(inner)
    teredo = 0x2001 << 112 | int(IPv4Address(PUBLIC)) << 64 | bits ^ 0xFFFFFFFF
    for form, wrapped in {
        "IPv4-mapped": 0xFFFF << 32 | bits,
        "NAT64": 0x64FF9B << 96 | bits,
        "6to4": 0x2002 << 112 | bits << 80 | 1,
        "Teredo": teredo,
    }.items():
        expected = None if rule is None else f"{form} {rule}"
        assert forbidden_rule(IPv6Address(wrapped)) == expected


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_that_python_calls_private_is_never_called_public(address):
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert forbidden_rule(address) is not None


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::1%lo", "::ffff:10.0.0.1%1"])
def test_a_zone_hides_nothing(address):
    assert forbidden_rule(ip_address(address)) is not None


def test_a_name_that_leads_to_a_metadata_service_is_refused():
    target = check_url("https://metadata.google.internal/computeMetadata/v1/", allow_loopback=False)
    with pytest.raises(ForbiddenAddress) as refused:
        resolve(target, allow_loopback=False, resolver=Names(["169.254.169.254"]))
    assert refused.value.rule == "metadata"
    assert "169.254" not in str(refused.value)


@pytest.mark.parametrize(
    "answers", [["10.0.0.1", PUBLIC], [PUBLIC, "10.0.0.1"], [PUBLIC, PUBLIC_IPV6, "::ffff:10.0.0.1"]]
)
def test_one_forbidden_address_among_public_ones_refuses_the_host(answers):
    with pytest.raises(ForbiddenAddress, match="private"):
        resolve(Target("https", "example.com", 443, "/"), allow_loopback=False, resolver=Names(answers))


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        ([PUBLIC], PUBLIC),
        ([PUBLIC_IPV6, PUBLIC], PUBLIC),
        ([PUBLIC_IPV6], PUBLIC_IPV6),
        (["1.1.1.1", PUBLIC], "1.1.1.1"),
    ],
)
def test_one_of_the_public_addresses_is_chosen_ipv4_first(answers, chosen):
    target = Target("https", "example.com", 443, "/")
    assert resolve(target, allow_loopback=False, resolver=Names(answers)) == Address(chosen)


def test_this_machine_is_reached_only_by_a_host_that_says_so_and_only_where_allowed():
    local, other = Target("http", "localhost", 8000, "/"), Target("https", "example.com", 443, "/")
    assert resolve(local, allow_loopback=True, resolver=Names(["127.0.0.1"])) == Address("127.0.0.1")
    for target, allow_loopback in ((local, False), (other, True), (other, False)):
        with pytest.raises(ForbiddenAddress, match="loopback"):
            resolve(target, allow_loopback=allow_loopback, resolver=Names(["127.0.0.1"]))


def test_plain_http_never_leaves_this_machine_even_if_localhost_leads_elsewhere():
    with pytest.raises(ForbiddenAddress) as refused:
        resolve(Target("http", "localhost", 8000, "/"), allow_loopback=True, resolver=Names([PUBLIC]))
    assert refused.value.rule == "scheme"


def test_a_name_that_does_not_exist_is_a_failed_delivery():
    def nobody(host, port, /, *, type):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolver in (nobody, Names([])):
        with pytest.raises(DeliveryFailed) as failed:
            resolve(Target("https", "example.com", 443, "/"), allow_loopback=False, resolver=resolver)
        assert failed.value.kind == "dns"


def test_a_name_that_changes_its_meaning_after_the_check_is_not_looked_up_again(receive, monkeypatch):
    def script(visitor):
        visitor.request()
        visitor.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    receiver, names = receive(script), Names(["127.0.0.1"], ["169.254.169.254"])
    target = check_url(f"http://rebinding.localhost:{receiver.port}/", allow_loopback=True)
    address = resolve(target, allow_loopback=True, resolver=names)

    def no_lookup(*args, **options):
        raise AssertionError("looked up a second time")

    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)
    assert post(target, address, {}, b"").status == 200
    assert names.lookups == 1


def test_the_systems_resolver_is_the_one_used_when_none_is_given():
    assert resolve(Target("http", "127.0.0.1", 8000, "/"), allow_loopback=True) == Address("127.0.0.1")
