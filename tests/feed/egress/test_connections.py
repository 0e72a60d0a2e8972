"""Connections kept warm: reused when that is safe, replaced without loss when it is not."""

from __future__ import annotations

import threading

import pytest

from chalicelib.feed.egress import Address, DeliveryFailed, Pool, Target, post

HERE = Address("127.0.0.1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


def say_to_each_request(answer):
    def script(visitor):
        while visitor.request():
            visitor.say(answer)

    return script


def send(receiver, pool, *, host="localhost", scheme="http", tls=None):
    return post(Target(scheme, host, receiver.port, "/"), HERE, {}, b"{}", pool=pool, tls=tls)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
def test_deliveries_to_one_host_share_a_connection(receive, pool, answer):
    receiver = receive(say_to_each_request(answer))
    for _ in range(5):
        send(receiver, pool)
    assert receiver.connections == 1


def test_a_secure_connection_is_shared_too(receive, pool, authority):
    receiver = receive(say_to_each_request(OK), tls=authority.server("hooks.example.com"))
    tls = authority.client()
    for _ in range(5):
        assert send(receiver, pool, host="hooks.example.com", scheme="https", tls=tls).status == 200
    assert receiver.connections == 1


def test_a_connection_is_not_shared_with_another_host_at_the_same_address(receive, pool):
    receiver = receive(say_to_each_request(OK))
    send(receiver, pool, host="localhost")
    send(receiver, pool, host="other.localhost")
    assert receiver.connections == 2


def test_a_connection_is_not_shared_with_a_stricter_check_of_certificates(receive, pool, authority):
    receiver = receive(say_to_each_request(OK), tls=authority.server("hooks.example.com"))
    send(receiver, pool, host="hooks.example.com", scheme="https", tls=authority.client())
    with pytest.raises(DeliveryFailed):
        send(receiver, pool, host="hooks.example.com", scheme="https")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
)
def test_a_connection_that_may_carry_a_rest_of_an_answer_is_not_used_again(receive, pool, answer):
    receiver = receive(say_to_each_request(answer))
    send(receiver, pool)
    send(receiver, pool)
    assert receiver.connections == 2


def test_what_a_receiver_says_unasked_is_never_taken_for_the_next_answer(receive, pool):
    said = threading.Event()

    def script(visitor):
        visitor.request()
        visitor.say(OK)
        visitor.say(b"HTTP/1.1 410 Gone\r\n" + b"X-Filler: x\r\n" * 2000)
        said.set()
        visitor.pause(60)

    receiver = receive(script)
    assert send(receiver, pool).status == 200
    said.wait()
    assert send(receiver, pool).status == 200
    assert receiver.connections == 2


def test_a_connection_that_the_receiver_closed_meanwhile_is_replaced(receive, pool):
    def script(visitor):
        visitor.request()
        visitor.say(OK)

    receiver = receive(script)
    assert [send(receiver, pool).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("secure", [False, True])
def test_a_connection_that_the_receiver_closes_on_the_next_request_costs_no_attempt(receive, pool, authority, secure):
    requests = []

    def script(visitor):
        requests.append(visitor.request())
        visitor.say(OK)
        requests.append(visitor.request())
        if visitor.number == 2:
            visitor.say(OK)

    options = {"host": "hooks.example.com", "scheme": "https", "tls": authority.client()} if secure else {}
    receiver = receive(script, tls=authority.server("hooks.example.com") if secure else None)
    assert [send(receiver, pool, **options).status for _ in range(2)] == [200, 200]
    assert (len([request for request in requests if request]), receiver.connections) == (3, 2)


def test_a_request_that_was_half_answered_is_not_sent_again(receive, pool):
    def script(visitor):
        visitor.request()
        visitor.say(OK)
        visitor.request()
        visitor.say(b"HTTP/1.1 200 OK\r\nContent-")

    receiver = receive(script)
    send(receiver, pool)
    with pytest.raises(DeliveryFailed) as failed:
        send(receiver, pool)
    assert (failed.value.kind, receiver.connections) == ("connection-closed", 1)


def test_a_connection_idle_for_too_long_is_not_trusted(receive):
    now = [0.0]
    pool = Pool(idle_seconds=20, clock=lambda: now[0])
    receiver = receive(say_to_each_request(OK))
    for moment in (0.0, 20.0, 41.0):
        now[0] = moment
        send(receiver, pool)
    pool.close()
    assert receiver.connections == 2


@pytest.mark.parametrize(("size", "connections"), [(0, 4), (1, 4), (2, 2)])
def test_a_full_pool_lets_the_longest_idle_connection_go(receive, size, connections):
    pool = Pool(size=size)
    first, second = receive(say_to_each_request(OK)), receive(say_to_each_request(OK))
    for receiver in (first, second, first, second):
        send(receiver, pool)
    pool.close()
    assert first.connections + second.connections == connections


def test_threads_that_share_a_pool_never_share_a_connection_at_once(receive, pool):
    def script(visitor):
        while request := visitor.request():
            body = request.rpartition(b"\r\n\r\n")[2]
            visitor.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    receiver = receive(script)
    target = Target("http", "localhost", receiver.port, "/")
    mixed_up = []

    def deliver(name):
        for number in range(25):
            body = f"{name}-{number}".encode()
            if post(target, HERE, {}, body, pool=pool).body != body:
                mixed_up.append(body)

    threads = [threading.Thread(target=deliver, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed_up == []
    assert receiver.connections <= 4
