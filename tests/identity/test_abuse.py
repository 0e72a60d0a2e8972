"""Who signs up often, asks for many codes or pays twice is held back, and nobody who does so is named anywhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.identity.abuse import (
    AtCheckout,
    admit_checkout,
    admit_code,
    admit_sign_up,
    network_of,
    sign_up_limits,
)
from chalicelib.identity.signup import send_code, sign_up
from chalicelib.platform.errors import Conflict, TooManyRequests
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.tenancy import records
from tests.billing.payments import payments, stripe_server  # noqa: F401 - fixtures
from tests.identity.applicants import address, application, apply, codes_for, network

LIMITS = sign_up_limits()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def refused(verb) -> TooManyRequests:
    with pytest.raises(TooManyRequests) as caught:
        verb()
    return caught.value


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("not an address", "unknown"),
        ("203.0.113.7, 198.51.100.1", "unknown"),
        ("203.0.113.007", "unknown"),
    ],
)
def test_a_call_is_counted_for_its_ipv4_address_or_its_ipv6_network(address, network):
    assert network_of(address) == network


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_every_address_of_an_ipv6_network_is_counted_as_one(found, host):
    neighbour = IPv6Address(int(found) >> 64 << 64 | host)
    if found.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert network_of(str(found)) == network_of(str(neighbour))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_in_either_form(found: IPv4Address):
    assert network_of(str(found)) == network_of(f"::ffff:{found}") == str(found)


def test_a_network_signs_up_only_so_often_an_hour_whatever_its_addresses(aws, now):
    number = int(new_id("net")[-4:], 36) % 2**16
    for host in range(LIMITS.per_network_an_hour):
        admit_sign_up(f"2001:db8:{number:x}:2::{host:x}", address(), now=now)
    late = refused(lambda: admit_sign_up(f"2001:db8:{number:x}:2:ffff::1", address(), now=now))
    assert late.headers == {"Retry-After": str(late.problem()["retry_after"])}
    assert 0 < late.problem()["retry_after"] <= HOUR.total_seconds()
    admit_sign_up(f"2001:db8:{number:x}:3::1", address(), now=now)
    admit_sign_up(f"2001:db8:{number:x}:2::1", address(), now=now + HOUR)


def test_an_address_signs_up_only_so_often_a_day_from_wherever_and_in_whatever_case(aws, now):
    email = address()
    for number in range(LIMITS.per_address_a_day):
        admit_sign_up(network(), email.upper() if number % 2 else email, now=now)
    late = refused(lambda: admit_sign_up(network(), email.title(), now=now))
    assert 0 < late.problem()["retry_after"] <= DAY.total_seconds()
    admit_sign_up(network(), address(), now=now)
    admit_sign_up(network(), email, now=now + DAY)


def test_a_mailbox_gets_only_so_many_codes_an_hour(aws, now):
    email = address()
    for _ in range(LIMITS.codes_an_hour):
        admit_code(email.upper(), now=now)
    assert 0 < refused(lambda: admit_code(email, now=now)).problem()["retry_after"] <= HOUR.total_seconds()
    admit_code(email, now=now + HOUR)


def test_many_at_once_get_no_more_codes_than_the_limit(aws, now):
    email = address()

    def admitted(_: int) -> bool:
        try:
            admit_code(email, now=now)
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(admitted, range(20))) == LIMITS.codes_an_hour


def test_the_code_of_the_sign_up_counts_among_the_codes_of_the_hour(payments, now):  # noqa: F811
    applicant = apply(now)
    for _ in range(LIMITS.codes_an_hour - 1):
        send_code(applicant.tenant_id, applicant.token, now=now)
    before = applicant.record.verification
    refused(lambda: send_code(applicant.tenant_id, applicant.token, now=now))
    assert applicant.record.verification == before, "the last code that was sent is still good"
    assert len(codes_for(applicant.email)) == LIMITS.codes_an_hour


def test_a_refused_sign_up_leaves_no_record_and_sends_no_mail(aws, now):
    form, source = application(), network()
    for _ in range(LIMITS.per_address_a_day):
        admit_sign_up(network(), form.email, now=now)
    refused(lambda: sign_up(form, source=source, now=now))
    assert codes_for(form.email) == []
    assert not list(records().scan(records().owner_email == form.email))


def test_both_limits_refuse_in_the_same_words(aws, now):
    email, source = address(), network()
    for _ in range(LIMITS.per_address_a_day):
        admit_sign_up(network(), email, now=now)
    for _ in range(LIMITS.per_network_an_hour):
        admit_sign_up(source, address(), now=now)
    answers = [
        refused(lambda: admit_sign_up(network(), email, now=now)).problem(),
        refused(lambda: admit_sign_up(source, address(), now=now)).problem(),
    ]
    for answer in answers:
        del answer["retry_after"]
    assert answers[0] == answers[1]


def test_an_address_pays_for_one_sign_up_at_a_time_and_for_another_when_the_page_has_closed(aws, now):
    email, one, other = address(), new_id("ten"), new_id("ten")
    admit_checkout(one, email, now=now)
    admit_checkout(one, email.upper(), now=now + HOUR)
    with pytest.raises(Conflict) as late:
        admit_checkout(other, email.title(), now=now + DAY)
    assert late.value.problem()["rule"] == "email_at_checkout"
    assert one not in str(late.value.problem())
    admit_checkout(other, email, now=now + DAY + 2 * HOUR)
    with pytest.raises(Conflict):
        admit_checkout(one, email, now=now + DAY + 2 * HOUR)


def test_of_many_sign_ups_at_their_checkout_at_once_one_may_pay(aws, now):
    email = address()

    def admitted(tenant_id: str) -> bool:
        try:
            admit_checkout(tenant_id, email, now=now)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(admitted, [new_id("ten") for _ in range(8)])) == 1


def test_what_is_counted_names_nobody_and_is_forgotten_by_itself(aws, now):
    email, source = address(), "198.51.100.77"
    admit_sign_up(source, email, now=now)
    admit_code(email, now=now)
    admit_checkout(new_id("ten"), email, now=now)
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=settings().shared_table("limits"))
    items = [item for page in pages for item in page["Items"]]
    stored = json.dumps(items)
    assert email not in stored and email.partition("@")[2] not in stored and source not in stored
    assert all("forget_after" in item for item in items)
    counted = {item["pk"]["S"].rpartition("#")[0] for item in items}
    assert {"sign-up#network", "sign-up#email", "code", "checkout"} <= counted


def test_what_an_address_may_pay_for_is_held_a_little_longer_than_a_page_is_open(aws, now):
    email = address()
    admit_checkout(new_id("ten"), email, now=now)
    latest = int((now + DAY).timestamp())
    held = [item for item in shared().bind(AtCheckout).scan() if item.pk.startswith("checkout#")]
    assert any(latest < item.forget_after <= latest + HOUR.total_seconds() for item in held)
