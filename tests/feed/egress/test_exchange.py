"""One exchange with receivers that hang, drip, break off, redirect, flood or are not who they say."""

from __future__ import annotations

import itertools
import ssl

import pytest

from chalicelib.feed.egress import Address, DeliveryFailed, Target, post

HERE = Address("127.0.0.1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADERS = {"content-type": "application/json", "webhook-id": "evt_1"}
SOON = 0.25
"""A deadline in seconds for receivers that never come to an end."""


def plain(receiver, path="/hooks?token=s3cret"):
    return Target("http", "localhost", receiver.port, path)


def secure(receiver, host="hooks.example.com"):
    return Target("https", host, receiver.port, "/hooks")


def answering(data):
    """A script that reads one request and says `data`."""

    def script(visitor):
        visitor.request()
        visitor.say(data)

    return script


def dripping(start, pieces):
    """A script that says `start` and then one piece after another, far more often than the deadline."""

    def script(visitor):
        visitor.request()
        visitor.say(start)
        for piece in pieces:
            if not visitor.pause(0.02):
                return
            visitor.say(piece)

    return script


def failure(*args, **options):
    with pytest.raises(DeliveryFailed) as failed:
        post(*args, **options)
    return failed.value


def test_the_receiver_gets_exactly_the_bytes_and_headers_and_its_answer_comes_back(receive):
    seen = []

    def script(visitor):
        seen.append(visitor.request())
        visitor.say(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\nX-Trace: abc\r\nContent-Length: 5\r\n\r\nlater")

    receiver = receive(script)
    response = post(plain(receiver), HERE, HEADERS, b'{"a":1}')
    assert seen == [
        b"POST /hooks?token=s3cret HTTP/1.1\r\n"
        + f"Host: localhost:{receiver.port}\r\n".encode()
        + b"Content-Length: 7\r\nConnection: close\r\n"
        + b'content-type: application/json\r\nwebhook-id: evt_1\r\n\r\n{"a":1}'
    ]
    assert (response.status, response.body, response.retry_after) == (429, b"later", 120)
    assert response.headers["x-trace"] == "abc"


def test_a_redirect_is_an_answer_and_is_not_followed(receive):
    other = receive(answering(OK))
    moved = f"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
    response = post(plain(receive(answering(moved.encode()))), HERE, HEADERS, b"")
    assert response.status == 301
    assert other.connections == 0


def test_proxies_named_in_the_environment_are_not_used(receive, monkeypatch):
    proxy, receiver = receive(answering(OK)), receive(answering(OK))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    post(plain(receiver), HERE, HEADERS, b"")
    assert (proxy.connections, receiver.connections) == (0, 1)


def test_of_a_long_answer_only_the_start_is_read(receive):
    def script(visitor):
        visitor.request()
        visitor.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(1000):
            visitor.say(b"x" * 10_000)

    response = post(plain(receive(script)), HERE, HEADERS, b"")
    assert (response.status, response.body) == (200, b"x" * 4096)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n5\r\nbr", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken o", b"broken o"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    ],
)
def test_the_status_is_the_verdict_however_the_body_comes(receive, answer, body):
    response = post(plain(receive(answering(answer))), HERE, HEADERS, b"")
    assert (response.status, response.body) == (200, body)


def test_a_body_that_drips_does_not_hold_the_worker_and_does_not_undo_the_verdict(receive):
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    response = post(plain(receive(dripping(start, itertools.repeat(b"x")))), HERE, HEADERS, b"", total_timeout=SOON)
    assert response.status == 200


def test_a_receiver_that_never_answers_ends_at_the_deadline(receive):
    receiver = receive(dripping(b"", itertools.repeat(b"")))
    assert failure(plain(receiver), HERE, HEADERS, b"", total_timeout=SOON).kind == "timeout"


def test_a_receiver_that_drips_its_headers_ends_at_the_same_deadline(receive):
    receiver = receive(dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", itertools.repeat(b"x")))
    assert failure(plain(receiver), HERE, HEADERS, b"", total_timeout=SOON).kind == "timeout"


def test_a_receiver_that_never_reads_ends_at_the_deadline(receive):
    receiver = receive(lambda visitor: visitor.pause(60))
    assert failure(plain(receiver), HERE, HEADERS, b"x" * 50_000_000, total_timeout=SOON).kind == "timeout"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "connection-closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection-closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "connection-closed"),
        (b"HTTP/1.1 20", "bad-response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "bad-response"),
        (b"HTTP/2 200\r\n\r\n", "bad-response"),
        (b"HTTP/1.1 OK\r\n\r\n", "bad-response"),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n", "bad-response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 10_000 + b"\r\n", "bad-response"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, "bad-response"),
    ],
)
def test_an_answer_that_is_none_is_a_failure(receive, answer, kind):
    assert failure(plain(receive(answering(answer))), HERE, HEADERS, b"").kind == kind


def test_a_refused_connection_is_a_failure_of_its_own_kind(receive):
    receiver = receive(answering(OK))
    receiver.stop()
    assert failure(plain(receiver), HERE, HEADERS, b"").kind == "connect-refused"


def test_a_certificate_of_a_known_authority_for_the_host_is_accepted(receive, authority):
    receiver = receive(answering(OK), tls=authority.server("hooks.example.com"))
    assert post(secure(receiver), HERE, HEADERS, b"", tls=authority.client()).body == b"ok"


def test_a_certificate_for_an_address_is_accepted_for_that_address(receive, authority):
    receiver = receive(answering(OK), tls=authority.server("127.0.0.1"))
    assert post(secure(receiver, "127.0.0.1"), HERE, HEADERS, b"", tls=authority.client()).status == 200


def test_the_host_is_asked_for_by_its_name(receive, authority):
    asked = []
    context = authority.server("hooks.example.com")
    context.sni_callback = lambda sock, name, context: asked.append(name)
    post(secure(receive(answering(OK), tls=context)), HERE, HEADERS, b"", tls=authority.client())
    assert asked == ["hooks.example.com"]


@pytest.mark.parametrize(("host", "self_signed"), [("hooks.example.com", True), ("other.example.com", False)])
def test_a_self_signed_certificate_and_another_hosts_are_refused(receive, authority, host, self_signed):
    receiver = receive(answering(OK), tls=authority.server(host, self_signed=self_signed))
    assert failure(secure(receiver), HERE, HEADERS, b"", tls=authority.client()).kind == "tls-certificate"


def test_an_authority_that_the_system_does_not_know_is_refused(receive, authority):
    receiver = receive(answering(OK), tls=authority.server("hooks.example.com"))
    assert failure(secure(receiver), HERE, HEADERS, b"").kind == "tls-certificate"


def test_an_outdated_protocol_is_refused(receive, authority):
    context = authority.server("hooks.example.com")
    client = authority.client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert failure(secure(receive(answering(OK), tls=context)), HERE, HEADERS, b"", tls=client).kind == "tls"


def test_a_receiver_without_tls_is_refused(receive):
    receiver = receive(lambda visitor: visitor.say(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert failure(secure(receiver), HERE, HEADERS, b"").kind == "tls"


def test_a_handshake_that_never_ends_counts_as_connecting(receive):
    receiver = receive(lambda visitor: visitor.pause(60))
    assert failure(secure(receiver), HERE, HEADERS, b"", connect_timeout=SOON).kind == "connect-timeout"


def test_a_failure_says_nothing_of_the_url_or_of_what_the_receiver_said(receive):
    failed = failure(plain(receive(answering(b"s3cret nonsense\r\n"))), HERE, HEADERS, b"")
    assert failed.__cause__ is None
    assert "s3cret" not in f"{failed} {failed.problem()}"
    assert failed.problem()["kind"] == "bad-response"
    assert failed.seconds > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-note": "a\r\nX-Injected: b"},
        {"x-note": "a\nb"},
        {"x-note": "caf\u00e9"},
        {"x note": "a"},
        {"": "a"},
        {"Host": "internal"},
        {"content-length": "0"},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_a_header_that_could_become_another_request_is_never_sent(receive, headers):
    receiver = receive(answering(OK))
    with pytest.raises(ValueError, match="header"):
        post(plain(receiver), HERE, headers, b"")
    assert receiver.connections == 0
