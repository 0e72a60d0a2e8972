"""Signing up: the form, and what a sign-up leaves behind, which is next to nothing."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.identity import api_keys, find_by_email
from chalicelib.identity.signup import Progress, claim, progress, sign_up
from chalicelib.platform.errors import Invalid, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.tenancy import find_tenant, records, steps
from tests.billing.payments import no_stripe, payments, stripe_server  # noqa: F401 - fixtures
from tests.billing.subscribers import Killed, Saboteur
from tests.identity.applicants import Applicant, application, apply, codes_for, network, prove

PENDING_DAYS = timedelta(days=7)


def refused_field(**changes: object) -> str:
    with pytest.raises(ValidationError) as refused:
        application(**changes)
    return str(refused.value.errors()[0]["loc"][0])


@pytest.fixture
def applicant(payments, now) -> Applicant:  # noqa: F811
    return apply(now)


def sign_ups_with(email: str) -> list[str]:
    """The ids of the sign-ups with an address."""
    model = records()
    return [record.pk for record in model.scan(model.owner_email == email)]


def made_for(tenant_id: str, email: str) -> dict[str, int]:
    """What there is of a tenant besides its record, counted where it lives."""
    pages = boto3.client("dynamodb").get_paginator("list_tables").paginate()
    tables = [name for page in pages for name in page["TableNames"] if tenant_id in name]
    keys = boto3.client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "duebridge-tenant", "Values": [tenant_id]}]
    )["ResourceTagMappingList"]
    users = boto3.client("cognito-idp").list_users(UserPoolId=settings().user_pool_id, Filter=f'email = "{email}"')
    objects = boto3.client("s3").list_objects_v2(Bucket=settings().bucket, Prefix=tenant_id)["KeyCount"]
    model = shared().bind(api_keys.ApiKey)
    return {
        "tables": len(tables),
        "keys": len(keys),
        "users": len(users["Users"]),
        "objects": objects,
        "api keys": sum(1 for _ in model.scan((model.sk == "api-key") & (model.tenant_id == tenant_id))),
        "people": int(find_by_email(email) is not None),
    }


@pytest.mark.parametrize(
    "organisation",
    ["admin", "../x", "🏦 Harbour 👩‍👩‍👧", "海港银行", "بنك الميناء", "x" * 200, "'; DROP TABLE--", "<b>"],
)
def test_any_name_that_can_be_read_is_a_name(organisation):
    assert application(organisation=f"  {organisation} ").organisation == organisation


@pytest.mark.parametrize(
    "organisation",
    [
        "",
        "   ",
        "x" * 201,
        "x" * 300,
        "a\x00b",
        "a\nb",
        "a\x1b[2Jb",
        "\u202egnaB",
        "a\u2028b",
        "\u200b\u200d",
        "a\ud800",
    ],
    ids=ascii,
)
def test_a_name_that_cannot_be_read_or_is_too_long_is_refused(organisation):
    assert refused_field(organisation=organisation) == "organisation"


@given(st.text(max_size=220))
def test_a_name_that_is_accepted_is_visible_short_and_free_of_control_characters(text):
    try:
        name = application(organisation=text).organisation
    except ValidationError:
        return
    categories = {unicodedata.category(character) for character in name}
    assert 1 <= len(text.strip()) <= 200
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert any(category[0] not in "CZ" for category in categories)


@pytest.mark.parametrize(
    "email", ["o@b.cn", "first.last+tag@sub.harbour-bank.example", "o'neil@x-1.example", f"{'a' * 64}@b.example"]
)
def test_an_address_in_its_usual_forms_is_accepted(email):
    assert application(email=email).email == email


@pytest.mark.parametrize(
    "email",
    [
        "owner",
        "@b.example",
        "a@b",
        "a@@b.example",
        "a@b..example",
        ".a@b.example",
        "a.@b.example",
        "a b@c.example",
        "a@-b.example",
        "a@b.example\nBcc: x@y.example",
        "a@b.example,c@d.example",
        "Ann <a@b.example>",
        f"{'a' * 65}@b.example",
        f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 60}",
    ],
)
def test_an_address_in_another_form_is_refused_without_being_repeated(email):
    assert refused_field(email=email) == "email"
    with pytest.raises(ValidationError) as refused:
        application(email=email)
    assert email not in refused.value.errors(include_input=False, include_url=False)[0]["msg"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jurisdiction", "FR"),
        ("locale", "fr"),
        ("interval", "week"),
        ("currency", "usd"),
        ("currency", "US"),
        ("plan", 7),
        ("role", "admin"),
    ],
)
def test_a_value_that_is_not_on_the_form_is_refused(field, value):
    assert refused_field(**{field: value}) == field


@pytest.mark.parametrize(("field", "value"), [("region", "mars-north-1"), ("plan", "platinum"), ("currency", "TWD")])
def test_what_is_not_on_offer_is_refused_before_anything_is_made_or_counted(aws, now, field, value):
    form = application(**{field: value})
    with pytest.raises(Invalid) as refused:
        sign_up(form, source=network(), now=now)
    assert refused.value.pointer == f"/{field}"
    assert sign_ups_with(form.email) == []
    assert codes_for(form.email) == []


def test_signing_up_makes_a_pending_record_that_will_be_forgotten_and_nothing_else(payments, applicant, now):  # noqa: F811
    record = applicant.record
    assert (record.state, record.name, record.plan, record.interval) == ("pending", "Harbour Bank", "growth", "month")
    assert (record.created_at, record.email_verified_at) == (now, None)
    assert record.pending_until == now + PENDING_DAYS
    assert record.forget_after == int((now + 2 * PENDING_DAYS).timestamp())
    assert (record.provisioned, record.ready, record.key_arn) == ({}, False, None)
    assert (record.customer_id, record.checkout_session_id) == (None, None), "Stripe has not heard of it"
    assert not any(made_for(applicant.tenant_id, applicant.email).values())
    assert len(codes_for(applicant.email)) == 1


def test_until_it_is_paid_only_stripe_hears_of_the_sign_up(payments, applicant, now):  # noqa: F811
    prove(applicant, now)
    record = applicant.record
    assert (record.state, record.provisioned, record.ready) == ("pending", {}, False)
    assert not any(made_for(applicant.tenant_id, applicant.email).values())
    customer = payments.client.v1.customers.retrieve(record.customer_id)
    assert (customer.email, customer.metadata["tenant_id"]) == (applicant.email, record.pk)


def test_signing_up_needs_no_stripe(no_stripe, now):  # noqa: F811
    assert apply(now).record.state == "pending"


def test_the_claim_token_is_stored_only_as_a_hash(applicant):
    assert len(applicant.token) == 43
    for kind in ("tenants", "limits", "credentials"):
        pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=settings().shared_table(kind))
        assert not any(applicant.token in str(page["Items"]) for page in pages)


def test_two_institutions_of_the_same_name_are_two_tenants(payments, now):  # noqa: F811
    one, other = apply(now), apply(now)
    assert one.tenant_id != other.tenant_id
    assert one.record.name == other.record.name
    assert prove(one, now).page != prove(other, now).page
    with pytest.raises(NotFound):
        progress(one.tenant_id, other.token, now=now)


@pytest.mark.parametrize(
    "organisation", ["admin", "../x", "🏦 Harbour 👩‍👩‍👧", "ten_01J9ZK3T8QV1W2X3Y4Z5A6B7C8", "x" * 200]
)
def test_whatever_its_name_a_tenant_comes_as_far_as_its_checkout_under_an_id_of_ours(payments, now, organisation):  # noqa: F811
    applicant = prove(apply(now, organisation=organisation), now)
    assert applicant.record.name == organisation
    assert organisation not in applicant.tenant_id
    customer = payments.client.v1.customers.retrieve(applicant.record.customer_id)
    assert customer.name == organisation
    assert organisation not in applicant.page


def test_an_address_may_sign_up_twice_and_either_can_be_gone_on_with(payments, now):  # noqa: F811
    one = apply(now)
    other = apply(now, email=one.email)
    assert set(sign_ups_with(one.email)) == {one.tenant_id, other.tenant_id}
    assert prove(other, now).page


def test_many_sign_ups_at_once_are_as_many_tenants(payments, now):  # noqa: F811
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: apply(now), range(6)))
    assert len({each.tenant_id for each in made}) == 6
    assert all(len(codes_for(each.email)) == 1 for each in made)


def test_a_sign_up_killed_at_any_moment_leaves_at_most_a_record_that_is_forgotten(payments, now, monkeypatch):  # noqa: F811
    killed_at = 0
    while True:
        killed_at += 1
        form, saboteur = application(), Saboteur(killed_at)
        try:
            with saboteur.lurking(monkeypatch):
                sign_up(form, source=network(), now=now)
        except Killed:
            for tenant_id in sign_ups_with(form.email):
                record = find_tenant(tenant_id)
                assert (record.state, record.pending_until) == ("pending", now + PENDING_DAYS)
                assert not any(made_for(tenant_id, form.email).values())
            assert prove(apply(now, email=form.email), now).page, "whoever heard nothing signs up anew"
            continue
        break
    assert killed_at > 5


def test_progress_counts_the_steps_of_provisioning(applicant, now):
    def seen() -> Progress:
        return progress(applicant.tenant_id, applicant.token, now=now)

    assert seen() == Progress(False, "pending", 0, len(steps()), False, False)
    prove(applicant, now)
    assert seen() == Progress(True, "pending", 0, len(steps()), False, False)
    model = records()
    applicant.record.update(
        actions=[model.state.set("trialing"), model.provisioned.set({"key": "arn", "alias": "name"})]
    )
    assert seen() == Progress(True, "trialing", 2, len(steps()), False, False)


def test_the_stored_hash_is_no_token(applicant, now):
    with pytest.raises(NotFound):
        progress(applicant.tenant_id, applicant.record.claim_hash, now=now)


def test_the_token_of_a_tenant_that_was_erased_fits_no_longer(applicant, now):
    applicant.record.update(actions=[records().claim_hash.remove()])
    for token in (applicant.token, ""):
        with pytest.raises(NotFound):
            progress(applicant.tenant_id, token, now=now)
    with pytest.raises(NotFound):
        claim(new_id("ten"), applicant.token, now=now)
