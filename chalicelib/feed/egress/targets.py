"""Which URLs a tenant may name, and which address stands behind one: judged as text first, then after one look-up."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from chalicelib.feed.egress.addresses import LOOPBACK, IPAddress, forbidden_rule
from chalicelib.feed.egress.failures import DeliveryFailed
from chalicelib.platform import errors

URL_MAX_LENGTH = 2048

DEFAULT_PORTS = {"https": 443, "http": 80}

FORBIDDEN_PORTS = frozenset(
    {1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900, 5985, 5986}
    | {6000, 6379, 6443, 6667, 9042, 9092, 9200, 9300, 10250, 11211, 27017}
)
"""Unprivileged ports on which databases, queues, orchestrators and remote desktops listen, where no webhook receiver
has business. Below 1024 only the scheme's own port is open."""

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AMBIGUOUS_LETTERS = re.compile("[\u00df\u03c2\u200c\u200d]")


class ForbiddenAddress(errors.Invalid):
    """A URL or the address behind it is not one that Duebridge connects to; `rule` names why, as `link-local`."""

    type, title = "forbidden-address", "Webhooks are not sent to that address"

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail, pointer="/url", rule=rule)
        self.rule = rule


@dataclass(frozen=True)
class Target:
    """A URL whose text has been checked: `host` in ASCII lower case, an IPv6 literal without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    """What the request line asks for: path and query."""

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine by its very name."""
        literal = _literal(self.host)
        if literal is not None:
            return forbidden_rule(literal) == LOOPBACK
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class Address:
    """An address that was checked, to be connected to as it stands."""

    ip: str


class Resolver(Protocol):
    """What `socket.getaddrinfo` does, as far as it is used here."""

    def __call__(
        self, host: str, port: int, /, *, type: int
    ) -> Iterable[tuple[object, object, object, object, tuple[object, ...]]]: ...


def check_url(url: str, *, allow_loopback: bool) -> Target:
    """The target that `url` names, judged without looking anything up.

    HTTPS only, no user information, no fragment, a port that webhooks use, a public host. `allow_loopback` (never set
    where tenants share a machine) also accepts this machine, by HTTP too. Raises ForbiddenAddress with the rule broken.
    """
    if len(url) > URL_MAX_LENGTH:
        raise ForbiddenAddress("length", f"A webhook URL has at most {URL_MAX_LENGTH} characters.")
    if _UNPRINTABLE.search(url):
        raise ForbiddenAddress("syntax", "A URL holds no spaces, control characters or backslashes.")
    if "#" in url:
        raise ForbiddenAddress("fragment", "A webhook URL has no fragment ('#'); it would not be sent.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ForbiddenAddress("syntax", "This is not a URL; give one such as https://example.com/hooks.") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ForbiddenAddress("scheme", "A webhook URL starts with https://.")
    if "@" in parts.netloc:
        raise ForbiddenAddress(
            "userinfo", "A webhook URL holds no user name or password; verify the signature instead."
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise ForbiddenAddress("syntax", "Letters outside ASCII are percent-encoded in a URL's path and query.")
    target = Target(parts.scheme, _host(parts), DEFAULT_PORTS[parts.scheme] if port is None else port, path)
    _judge_host(target, allow_loopback)
    if target.port != DEFAULT_PORTS[target.scheme] and (target.port < 1024 or target.port in FORBIDDEN_PORTS):
        raise ForbiddenAddress("port", "The port is 443, or 1024 and above and not that of another kind of service.")
    return target


def resolve(target: Target, *, allow_loopback: bool, resolver: Resolver = socket.getaddrinfo) -> Address:
    """The address to connect to, from a single look-up of the target's host.

    Every address that the look-up returns must be allowed: one that is not refuses the host, since whoever mixes them
    is probing. IPv4 is preferred, because functions have no IPv6 route unless a network is built for it. The time that
    the look-up takes is the system resolver's own (`RES_OPTIONS` bounds it). Raises ForbiddenAddress, and
    DeliveryFailed of kind `dns` when there is no such name.
    """
    started = time.monotonic()
    try:
        found = [ip_address(str(entry[4][0])) for entry in resolver(target.host, target.port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise DeliveryFailed("dns", time.monotonic() - started)
    for address in found:
        _judge_address(target, address, allow_loopback)
    chosen = next((address for address in found if isinstance(address, IPv4Address)), found[0])
    return Address(str(chosen))


def _host(parts: SplitResult) -> str:
    """The host in the one form in which it is judged, looked up and connected to."""
    written = parts.hostname or ""
    if "[" in parts.netloc:
        if (literal := _literal(written)) is None or "%" in written:
            raise ForbiddenAddress("host", "What stands in brackets is an IPv6 address without a zone.")
        return str(literal)
    if _AMBIGUOUS_LETTERS.search(written):
        raise ForbiddenAddress("host", "This host name is read differently by different programs; write its xn-- form.")
    try:
        name = written.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise ForbiddenAddress("host", "This is not a host name.") from None
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        # Programs disagree on what 0x7f.1, 2130706433 or 0177.0.0.1 name, so only the plain form is taken.
        if not isinstance(literal := _literal(name), IPv4Address):
            raise ForbiddenAddress("ambiguous-ipv4", "An IPv4 address is written as four decimal numbers.")
        return str(literal)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ForbiddenAddress("host", "This is not a host name.")
    if len(labels) == 1 and name != "localhost":
        raise ForbiddenAddress("host", "A host is named in full, such as hooks.example.com.")
    return name


def _literal(host: str) -> IPAddress | None:
    """The address that a host literally is, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _judge_host(target: Target, allow_loopback: bool) -> None:
    """Refuse what the host's text alone gives away."""
    literal = _literal(target.host)
    if literal is not None:
        _judge_address(target, literal, allow_loopback)
    elif target.loopback and not allow_loopback:
        raise _forbidden(LOOPBACK)
    elif target.scheme == "http" and not target.loopback:
        raise _plain_http()


def _judge_address(target: Target, address: IPAddress, allow_loopback: bool) -> None:
    """Refuse an address that is not public. This machine is allowed only to a host that says so by its name: another
    name that leads here was made to."""
    rule = forbidden_rule(address)
    if rule == LOOPBACK and allow_loopback and target.loopback:
        return
    if rule is not None:
        raise _forbidden(rule)
    if target.scheme == "http":
        raise _plain_http()


def _forbidden(rule: str) -> ForbiddenAddress:
    return ForbiddenAddress(rule, f"The host is, or leads to, an address that is not public ({rule}).")


def _plain_http() -> ForbiddenAddress:
    return ForbiddenAddress("scheme", "A webhook URL starts with https://.")
