"""The local Stripe's API, called through the official SDK: authentication, catalogue, lists, idempotency, errors."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.parse

import pytest
import stripe

KEY = {"Authorization": "Bearer sk_test_local", "Content-Type": "application/x-www-form-urlencoded"}


def test_a_wrong_key_is_refused_as_stripe_refuses_it(local):
    intruder = stripe.StripeClient("sk_test_wrong", base_addresses={"api": local.server.url})
    with pytest.raises(stripe.AuthenticationError) as refused:
        intruder.v1.customers.create(params={})
    assert refused.value.http_status == 401
    assert "wrong" not in str(refused.value)


def test_a_missing_key_is_refused(local):
    connection = http.client.HTTPConnection("127.0.0.1", local.server.server_address[1], timeout=20)
    connection.request("GET", "/v1/products")
    answer = connection.getresponse()
    assert answer.status == 401
    assert json.load(answer)["error"]["type"] == "invalid_request_error"


def test_answers_carry_the_version_and_a_request_id(local):
    customer = local.client.v1.customers.create(params={})
    assert customer.last_response is not None
    headers = {name.lower(): value for name, value in customer.last_response.headers.items()}
    assert headers["stripe-version"] == stripe.api_version
    assert headers["request-id"].startswith("req_")


def test_health_answers_without_a_key(local):
    assert local.local("GET", "health")["status"] == "ok"


def test_a_customer_is_made_changed_and_forgotten(local, assert_shape):
    customers = local.client.v1.customers
    made = customers.create(
        params={"email": "a@bank.example", "name": "银行", "metadata": {"tenant": "ten_1", "x": "1"}}
    )
    assert_shape(made)
    changed = customers.update(made.id, params={"name": "", "metadata": {"x": "", "cell": "cn-1"}})
    assert (changed.name, changed.email) == (None, "a@bank.example")
    assert changed.metadata.to_dict() == {"tenant": "ten_1", "cell": "cn-1"}
    gone = customers.delete(made.id)
    assert_shape(gone, "deleted_customer")
    assert customers.retrieve(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as missing:
        customers.update(made.id, params={"name": "again"})
    assert missing.value.code == "resource_missing"


def test_an_update_that_changes_nothing_makes_no_event(local):
    customer = local.client.v1.customers.create(params={"name": "Bank"})
    local.client.v1.customers.update(customer.id, params={"name": "Bank"})
    assert [event.type for event in local.client.v1.events.list().data] == ["customer.created"]


def test_an_update_tells_the_previous_values(local, assert_shape):
    customer = local.client.v1.customers.create(params={"name": "Bank"})
    local.client.v1.customers.update(customer.id, params={"name": "Harbour Bank"})
    event = local.client.v1.events.list(params={"type": "customer.updated"}).data[0]
    assert_shape(event)
    assert event.data.previous_attributes.to_dict() == {"name": "Bank"}
    assert event.data.object["name"] == "Harbour Bank"
    assert local.client.v1.events.retrieve(event.id).request.idempotency_key


def test_a_product_with_an_id_of_ones_own_exists_once(local, assert_shape):
    products = local.client.v1.products
    made = products.create(params={"id": "prod_growth", "name": "Growth"})
    assert_shape(made)
    with pytest.raises(stripe.InvalidRequestError) as taken:
        products.create(params={"id": "prod_growth", "name": "Growth"})
    assert taken.value.code == "resource_already_exists"
    assert not products.update("prod_growth", params={"active": False}).active
    assert products.list(params={"active": True}).data == []
    assert [product.id for product in products.list(params={"ids": ["prod_growth"]}).data] == ["prod_growth"]
    assert products.retrieve("prod_growth").name == "Growth"


def test_a_products_default_price_must_be_its_own(local, price):
    product = str(price.product)
    assert local.client.v1.products.update(product, params={"default_price": price.id}).default_price == price.id
    other = local.make_price()
    with pytest.raises(stripe.InvalidRequestError):
        local.client.v1.products.update(product, params={"default_price": other.id})


def test_a_lookup_key_moves_only_when_asked_to(local, assert_shape):
    old = local.make_price(lookup_key="growth-month")
    assert_shape(old)
    with pytest.raises(stripe.InvalidRequestError, match=old.id):
        local.make_price(lookup_key="growth-month")
    new = local.make_price(lookup_key="growth-month", transfer_lookup_key=True, unit_amount=2500)
    prices = local.client.v1.prices
    assert [found.id for found in prices.list(params={"lookup_keys": ["growth-month", "other"]}).data] == [new.id]
    assert prices.retrieve(old.id).lookup_key is None
    assert not prices.update(old.id, params={"active": False}).active
    assert [found.id for found in prices.list(params={"active": True}).data] == [new.id]


def test_prices_are_found_by_ten_lookup_keys_at_most_and_by_their_interval(local):
    yearly = local.make_price(lookup_key="growth-year", recurring={"interval": "year"})
    local.make_price(lookup_key="growth-month")
    prices = local.client.v1.prices
    found = prices.list(params={"recurring": {"interval": "year", "usage_type": "licensed"}}).data
    assert [price.id for price in found] == [yearly.id]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        prices.list(params={"lookup_keys": [f"key-{number}" for number in range(11)]})
    assert refused.value.param == "lookup_keys"


def test_a_price_shows_its_other_currencies_when_asked(local):
    made = local.make_price(currency_options={"eur": {"unit_amount": 1800}, "cny": {"unit_amount": 14000}})
    shown = local.client.v1.prices.retrieve(made.id, params={"expand": ["currency_options", "product"]})
    assert {code: option["unit_amount"] for code, option in shown.currency_options.to_dict().items()} == {
        "usd": 2000,
        "eur": 1800,
        "cny": 14000,
    }
    assert shown.product.name == "Growth"
    assert "currency_options" not in local.client.v1.prices.retrieve(made.id).to_dict()


def test_lists_are_paged_newest_first_until_there_is_no_more(local, assert_shape):
    made = [local.client.v1.products.create(params={"name": f"Plan {number}"}).id for number in range(5)]
    first = local.client.v1.products.list(params={"limit": 2})
    assert_shape(first)
    assert first.has_more
    assert [product.id for product in first.auto_paging_iter()] == made[::-1]
    with pytest.raises(stripe.InvalidRequestError) as missing:
        local.client.v1.products.list(params={"starting_after": "prod_none"})
    assert missing.value.param == "starting_after"


@pytest.mark.parametrize("limit", [0, 101])
def test_a_limit_outside_stripes_is_refused(local, limit):
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        local.client.v1.products.list(params={"limit": limit})


def test_the_same_key_and_parameters_get_the_same_answer(local):
    params = {"email": "a@bank.example"}
    first = local.client.v1.customers.create(params=params, options={"idempotency_key": "signup-1"})
    again = local.client.v1.customers.create(params=params, options={"idempotency_key": "signup-1"})
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(local.client.v1.events.list().data) == 1


def test_the_same_key_with_other_parameters_is_an_idempotency_error(local):
    local.client.v1.customers.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})
    with pytest.raises(stripe.IdempotencyError) as other_name:
        local.client.v1.customers.create(params={"name": "B"}, options={"idempotency_key": "signup-1"})
    assert other_name.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        local.client.v1.products.create(params={"name": "A"}, options={"idempotency_key": "signup-1"})


def test_a_refused_call_leaves_its_key_free(local):
    with pytest.raises(stripe.InvalidRequestError):
        local.client.v1.customers.create(params={"email": "nobody"}, options={"idempotency_key": "signup-1"})
    made = local.client.v1.customers.create(params={"email": "a@b.c"}, options={"idempotency_key": "signup-1"})
    assert made.email == "a@b.c"


def test_a_key_is_free_again_after_a_day(local):
    first = local.client.v1.customers.create(params={}, options={"idempotency_key": "signup-1"})
    local.advance(days=1.1)
    assert local.client.v1.customers.create(params={}, options={"idempotency_key": "signup-1"}).id != first.id


def test_of_two_calls_at_once_with_one_key_one_is_told_to_wait(local):
    """The state is held, so whichever call enters second finds the key in use while the first waits."""
    statuses: list[int] = []
    arrived = threading.Condition()

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", local.server.server_address[1], timeout=20)
        connection.request("POST", "/v1/customers", "name=A", {**KEY, "Idempotency-Key": "signup-1"})
        status = connection.getresponse().status
        with arrived:
            statuses.append(status)
            arrived.notify_all()

    callers = [threading.Thread(target=call) for _ in range(2)]
    with local.server.state.changed:
        for caller in callers:
            caller.start()
        with arrived:
            assert arrived.wait_for(lambda: statuses, timeout=20)
    for caller in callers:
        caller.join(20)
    assert statuses == [409, 200]


@pytest.mark.parametrize(
    ("call", "param", "code"),
    [
        (lambda v1: v1.customers.create(params={"colour": "red"}), "colour", "parameter_unknown"),
        (lambda v1: v1.customers.create(params={"email": "nobody"}), "email", "email_invalid"),
        (lambda v1: v1.products.create(params={}), "name", "parameter_missing"),
        (lambda v1: v1.prices.create(params={"currency": "usd", "product": "prod_no", "unit_amount": 1}), "product",
         "resource_missing"),
        (lambda v1: v1.prices.create(params={"currency": "usd", "product": "prod_no", "unit_amount": "x"}),
         "unit_amount", "parameter_invalid_integer"),
        (lambda v1: v1.products.create(params={"name": {"a": "b"}}), "name", None),
        (lambda v1: v1.products.create(params={"name": "A", "active": "maybe"}), "active", None),
        (lambda v1: v1.products.create(params={"name": "x" * 5001}), "name", None),
        (lambda v1: v1.products.create(params={"name": "A", "url": "javascript:alert(1)"}), "url", "url_invalid"),
        (lambda v1: v1.prices.retrieve("price_none"), "id", "resource_missing"),
        (lambda v1: v1.products.list(params={"expand": ["data.nothing"]}), None, None),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_named(local, call, param, code):
    if param is None:
        local.client.v1.products.create(params={"name": "A"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        call(local.client.v1)
    assert (refused.value.param, refused.value.code) == (param or "expand", code)


def test_a_call_that_is_not_covered_says_so(local):
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        local.client.v1.coupons.list()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xfe", {}, 400),
        (b"name]=x", {}, 400),
        (urllib.parse.urlencode({"name": "A", "name[b]": "B"}).encode(), {}, 400),
        (b"", {"Content-Length": "9999999"}, 413),
        (b"", {"Content-Length": "many"}, 413),
        (b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_malformed_request_is_refused_in_stripes_shape(local, body, headers, status):
    connection = http.client.HTTPConnection("127.0.0.1", local.server.server_address[1], timeout=20)
    connection.request("POST", "/v1/customers", body, {**KEY, **headers})
    answer = connection.getresponse()
    assert answer.status == status
    assert json.load(answer)["error"]["message"]


@pytest.mark.parametrize("seconds", [-1, "soon", None, True, 10**10])
def test_the_clock_moves_forward_by_whole_seconds_only(local, seconds):
    connection = http.client.HTTPConnection("127.0.0.1", local.server.server_address[1], timeout=20)
    connection.request("POST", "/_local/advance", json.dumps({"seconds": seconds}))
    answer = connection.getresponse()
    assert answer.status == 400
    assert json.load(answer)["error"]["param"] == "seconds"
