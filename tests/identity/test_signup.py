import json
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import stripe
from chalice.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.billing.errors import PaymentsUnavailable
from chalicelib.identity import api_keys, signup
from chalicelib.identity.signup import Application, Progress, claim, progress, sign_up
from chalicelib.platform.commit import commit_one
from chalicelib.platform.errors import Conflict, Gone, Invalid, NotFound, Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.store import shared
from chalicelib.tenancy import find_tenant, records
from chalicelib.tenancy.provisioning import provision, steps
from infra.local import ministack
from tests.billing.payments import WEBHOOK_SECRET, no_stripe, payments, stripe_server  # noqa: F401 - fixtures

FORM = {
    "organisation": "Harbour Bank",
    "jurisdiction": "CN",
    "region": ministack.REGION,
    "locale": "zh_CN",
    "currency": "CNY",
    "email": "owner@harbour.example",
    "plan": "growth",
}


def application(**changes: object) -> Application:
    return Application.model_validate(FORM | changes)


def refused_field(**changes: object) -> str:
    with pytest.raises(ValidationError) as refused:
        application(**changes)
    return str(refused.value.errors()[0]["loc"][0])


def keys_of(tenant_id: str) -> list[api_keys.ApiKey]:
    model = shared().bind(api_keys.ApiKey)
    return [key for key in model.scan(model.sk == "api-key") if key.tenant_id == tenant_id]


@pytest.fixture
def signed_up(payments, now):  # noqa: F811
    return sign_up(application(), now=now)


@pytest.fixture
def ready(signed_up):
    """A sign-up whose tenant is paid for and provisioned, as the registry has it."""
    model = records()
    find_tenant(signed_up.tenant_id).update(actions=[model.state.set("active"), model.ready.set(True)])
    return signed_up


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
    [("jurisdiction", "FR"), ("locale", "fr"), ("currency", "usd"), ("currency", "US"), ("plan", 7), ("role", "admin")],
)
def test_a_value_that_is_not_on_the_form_is_refused(field, value):
    assert refused_field(**{field: value}) == field


@pytest.mark.parametrize(("field", "value"), [("region", "mars-north-1"), ("plan", "platinum"), ("currency", "TWD")])
def test_what_is_not_on_offer_is_refused_before_anything_is_made(payments, now, field, value):  # noqa: F811
    before = sum(1 for _ in records().scan())
    with pytest.raises(Invalid) as refused:
        sign_up(application(**{field: value}), now=now)
    assert refused.value.pointer == f"/{field}"
    assert sum(1 for _ in records().scan()) == before


def test_signing_up_makes_a_pending_tenant_and_an_open_checkout_and_nothing_else(payments, signed_up, now):  # noqa: F811
    record = find_tenant(signed_up.tenant_id)
    assert (record.state, record.name, record.plan, record.created_at) == ("pending", "Harbour Bank", "growth", now)
    assert (record.provisioned, record.ready, record.key_arn) == ({}, False, None)
    session = payments.client.v1.checkout.sessions.retrieve(record.checkout_session_id)
    assert (session.status, session.url) == ("open", signed_up.checkout_url)
    assert (session.client_reference_id, session.customer_email) == (record.pk, "owner@harbour.example")
    assert (session.currency, session.locale) == ("cny", "zh")
    assert session.success_url == f"{settings().public_url}/signup/{record.pk}?checkout=completed"


def test_the_claim_token_is_stored_only_as_a_hash(signed_up):
    stored = str(find_tenant(signed_up.tenant_id).to_simple_dict())
    assert signed_up.claim_token not in stored
    assert len(signed_up.claim_token) == 43


def test_two_institutions_of_the_same_name_are_two_tenants(payments, now):  # noqa: F811
    one, other = (sign_up(application(), now=now) for _ in range(2))
    assert one.tenant_id != other.tenant_id
    assert one.checkout_url != other.checkout_url
    with pytest.raises(NotFound):
        progress(one.tenant_id, other.claim_token)


def test_with_stripe_down_nothing_is_charged_and_what_is_left_is_pending_without_a_checkout(no_stripe, now):  # noqa: F811
    before = {record.pk for record in records().scan()}
    with pytest.raises(PaymentsUnavailable):
        sign_up(application(), now=now)
    (left,) = [record for record in records().scan() if record.pk not in before]
    assert (left.state, left.checkout_session_id, left.provisioned) == ("pending", None, {})


def test_progress_counts_the_steps_of_provisioning(signed_up):
    assert progress(signed_up.tenant_id, signed_up.claim_token) == Progress("pending", 0, len(steps()), False, False)
    model = records()
    find_tenant(signed_up.tenant_id).update(
        actions=[model.state.set("trialing"), model.provisioned.set({"key": "arn", "alias": "name"})]
    )
    assert progress(signed_up.tenant_id, signed_up.claim_token) == Progress("trialing", 2, len(steps()), False, False)


@pytest.mark.parametrize("verb", [progress, lambda tenant_id, token: claim(tenant_id, token, now=None)])
def test_a_wrong_token_and_an_unknown_tenant_are_told_in_the_same_words(ready, verb):
    answers = []
    for tenant_id, token in [
        (ready.tenant_id, "wrong"),
        (ready.tenant_id, ready.claim_token[:-1]),
        (ready.tenant_id, ""),
        (new_id("ten"), ready.claim_token),
        ("../x", ready.claim_token),
        ("ten_", ready.claim_token),
    ]:
        with pytest.raises(NotFound) as refused:
            verb(tenant_id, token)
        answers.append(refused.value.problem())
    assert all(answer == answers[0] for answer in answers)
    assert keys_of(ready.tenant_id) == []


def test_the_stored_hash_is_no_token(ready):
    stored = find_tenant(ready.tenant_id).claim_hash
    with pytest.raises(NotFound):
        progress(ready.tenant_id, stored)


def test_a_tenant_that_is_not_ready_gives_no_key_and_keeps_its_token(signed_up, now):
    with pytest.raises(Conflict) as refused:
        claim(signed_up.tenant_id, signed_up.claim_token, now=now)
    assert refused.value.problem()["state"] == "pending"
    assert keys_of(signed_up.tenant_id) == []
    assert not progress(signed_up.tenant_id, signed_up.claim_token).claimed


def test_a_claim_gives_a_key_that_works_for_every_scope_of_that_tenant(ready, now):
    key = claim(ready.tenant_id, ready.claim_token, now=now)
    found = api_keys.verify(key.text, now=now + timedelta(days=400))
    assert (found.pk, found.tenant_id, found.name, found.scopes) == (
        key.key_id,
        ready.tenant_id,
        "owner",
        api_keys.SCOPES,
    )
    assert key.scopes == api_keys.SCOPES
    assert key.text not in str([stored.attribute_values for stored in keys_of(ready.tenant_id)])


def test_a_second_claim_is_told_that_the_first_had_the_key(ready, now):
    text = claim(ready.tenant_id, ready.claim_token, now=now).text
    with pytest.raises(Gone):
        claim(ready.tenant_id, ready.claim_token, now=now)
    assert progress(ready.tenant_id, ready.claim_token).claimed
    assert len(keys_of(ready.tenant_id)) == 1
    assert api_keys.verify(text, now=now)


def test_a_spent_token_is_still_the_only_one_that_fits(ready, now):
    claim(ready.tenant_id, ready.claim_token, now=now)
    with pytest.raises(NotFound):
        claim(ready.tenant_id, "wrong", now=now)


def test_of_two_claims_at_once_one_gets_a_key(ready, now):
    def attempt(_: int) -> str | None:
        try:
            return claim(ready.tenant_id, ready.claim_token, now=now).text
        except Gone:
            return None

    with ThreadPoolExecutor(4) as pool:
        texts = [text for text in pool.map(attempt, range(4)) if text]
    assert len(texts) == 1
    assert api_keys.verify(texts[0], now=now)
    assert len(keys_of(ready.tenant_id)) == 1


def test_a_claim_that_lost_the_race_leaves_no_key(ready, now, monkeypatch):
    def overtaken(store, group):
        monkeypatch.setattr(signup, "commit_one", commit_one)
        claim(ready.tenant_id, ready.claim_token, now=now)
        return commit_one(store, group)

    monkeypatch.setattr(signup, "commit_one", overtaken)
    with pytest.raises(Gone):
        claim(ready.tenant_id, ready.claim_token, now=now)
    assert len(keys_of(ready.tenant_id)) == 1


def test_a_claim_killed_before_the_token_was_spent_can_be_made_again(ready, now, monkeypatch):
    texts = []
    mint = api_keys.mint

    def noted(*args, **options):
        text, key = mint(*args, **options)
        texts.append(text)
        return text, key

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(api_keys, "mint", noted)
        broken.setattr(signup, "commit_one", killed)
        with pytest.raises(KeyboardInterrupt):
            claim(ready.tenant_id, ready.claim_token, now=now)
    with pytest.raises(Unauthenticated, match="not valid"):
        api_keys.verify(texts[0], now=now)
    text = claim(ready.tenant_id, ready.claim_token, now=now).text
    assert api_keys.verify(text, now=now)


def test_a_tenant_that_was_provisioned_step_by_step_can_be_claimed(signed_up, now):
    find_tenant(signed_up.tenant_id).update(actions=[records().state.set("trialing")])
    provision(signed_up.tenant_id)
    done = progress(signed_up.tenant_id, signed_up.claim_token)
    assert (done.ready, done.steps_done) == (True, done.steps_total)
    assert claim(signed_up.tenant_id, signed_up.claim_token, now=now)


@pytest.fixture
def api(payments):  # noqa: F811
    """The app over HTTP. Chalice registers a blueprint properly only once, so there is one app for all tests."""
    from app import app

    with Client(app) as client:
        yield client.http


def json_headers(token: str | None = None) -> dict[str, str]:
    return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})


def test_over_http_an_institution_signs_up_watches_and_claims(api):
    made = api.post("/v1/signup", headers=json_headers(), body=json.dumps(FORM).encode())
    assert made.status_code == 201
    path, token = f"/v1/signup/{made.json_body['tenant_id']}", made.json_body["claim_token"]
    assert api.get(path, headers=json_headers(token)).json_body["state"] == "pending"
    assert api.get(path, headers=json_headers()).status_code == 401
    assert api.get(path, headers=json_headers("wrong")).status_code == 404
    assert api.post(f"{path}/claim", headers=json_headers(token)).status_code == 409
    find_tenant(made.json_body["tenant_id"]).update(actions=[records().ready.set(True)])
    key = api.post(f"{path}/claim", headers=json_headers(token))
    assert (key.status_code, key.headers["Cache-Control"]) == (200, "no-store")
    assert api_keys.verify(key.json_body["api_key"], now=find_tenant(made.json_body["tenant_id"]).created_at)
    assert api.post(f"{path}/claim", headers=json_headers(token)).status_code == 410


def test_over_http_a_forged_webhook_is_a_problem_and_a_signed_one_is_received(api):
    body = json.dumps({"id": new_id("evt"), "type": "a.b", "created": 1, "data": {"object": {"id": "x"}}})
    path, form = "/v1/billing/stripe/webhook", stripe.WebhookSignature.generate_signature_header
    for secret, age in [("whsec_forged", 0), (WEBHOOK_SECRET, 400)]:
        headers = json_headers() | {"Stripe-Signature": form(body, secret, int(time.time()) - age)}
        refused = api.post(path, headers=headers, body=body.encode())
        assert (refused.status_code, refused.json_body["type"]) == (
            400,
            "https://duebridge.dev/problems/untrusted-event",
        )
    headers = json_headers() | {"Stripe-Signature": form(body, WEBHOOK_SECRET)}
    assert api.post(path, headers=headers, body=body.encode()).json_body == {"received": True}


def test_over_http_the_plans_are_listed_in_their_order(api):
    items = api.get("/v1/plans").json_body["items"]
    assert [plan["key"] for plan in items] == ["starter", "growth", "enterprise"]
    assert items[0]["prices"][1] == {"currency": "USD", "interval": "month", "amount": 29000}
