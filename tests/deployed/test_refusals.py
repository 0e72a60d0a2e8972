"""What the deployed API refuses: files, requests, credentials, addresses and signatures, each with its own words."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from infra.demo import client, mailbox, scenario
from infra.demo.client import Client, Refused, wait_for
from infra.demo.scenario import RUN_ENDS, Applicant, Institution
from infra.local.stack import Stack
from tests.deployed.backstage import as_function, items, tenant_items
from tests.deployed.conftest import Extracts

pytestmark = pytest.mark.deployed

STRIPE = "/v1/billing/stripe/webhook"
NEVER_MADE = "0" * 25 + "Z"


def refused(api: Client, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Refused:
    """The refusal that a call is answered with."""
    with pytest.raises(Refused) as caught:
        api.call(method, path, body, headers)
    return caught.value


# --- files


def _without(column: str) -> Callable[[str], str]:
    def damage(text: str) -> str:
        rows = [line.split("||") for line in text.splitlines()]
        at = rows[0].index(column)
        return "".join("||".join(row[:at] + row[at + 1 :]) + "\n" for row in rows)

    return damage


def _trailer(change: Callable[[int, str], tuple[int, str]]) -> Callable[[str], str]:
    def damage(text: str) -> str:
        rows, _, last = text.rstrip("\n").rpartition("\n")
        tag, count, total = last.split("||")
        new_count, new_total = change(int(count), total)
        return f"{rows}\n{tag}||{new_count}||{new_total}\n"

    return damage


def _long_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first}\n{'9' * 70_000}\n{rest}"


def _encoded(text: str) -> bytes:
    return text.encode("gb18030")


BAD_FILES: dict[str, Callable[[str], bytes]] = {
    "nul_byte": lambda text: text.encode("utf-16"),
    "wrong_encoding": lambda text: text.encode("utf-8"),
    "wrong_encoding inside": lambda text: _encoded(text[:20_000]) + b"\xff\xff" + _encoded(text[20_000:]),
    "missing_column": lambda text: _encoded(_without("逾期金额")(text)),
    "missing_trailer": lambda text: _encoded(text[: text.rindex("TRL")]),
    "trailer_count": lambda text: _encoded(_trailer(lambda count, total: (count + 1, total))(text)),
    "trailer_total": lambda text: _encoded(_trailer(lambda count, total: (count, total.replace(".00", ".01")))(text)),
    "line_too_long": lambda text: _encoded(_long_line(text)),
}
"""What is wrong with each file by the code that it is refused with, and how it comes to be so."""


@pytest.fixture(scope="module")
def bad_runs(
    rival: Institution, extracts: Extracts, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """The runs over all bad files, by what is wrong with each; they are dropped together and read one after another."""
    folder, text = tmp_path_factory.mktemp("bad"), extracts.file(0).read_text(encoding="gb18030")
    connector = scenario.join_core_banking(rival)
    names: dict[str, str] = {}
    for day, (wrong, make) in enumerate(BAD_FILES.items(), start=1):
        file = folder / f"CORE_LOAN_200501{day:02d}.txt"
        file.write_bytes(make(text))
        upload = rival.api.post(f"/v1/connectors/{connector}/uploads", {"file_name": file.name})
        client.put_file(upload, file)
        names[wrong] = file.name
    rival.api.post(f"/v1/connectors/{connector}/runs")

    def all_ended() -> dict[str, dict[str, Any]] | None:
        runs = {run["file_name"]: run for run in rival.api.get(f"/v1/connectors/{connector}/runs")["items"]}
        ended = [run for run in runs.values() if run["status"] in RUN_ENDS]
        return runs if len(ended) == len(BAD_FILES) else None

    runs = wait_for("the runs over the bad files", all_ended, pause=0.5)
    return {wrong: runs[name] for wrong, name in names.items()}


@pytest.mark.parametrize("wrong", BAD_FILES)
def test_a_file_that_cannot_be_trusted_is_refused_whole_with_its_reason(wrong: str, bad_runs: dict[str, Any]):
    run = bad_runs[wrong]

    assert run["status"] == "refused"
    assert run["refusal"]["code"] == wrong.partition(" ")[0]
    assert len(run["refusal"]["reason"]) > 20
    assert (run["counts"], run["chunks"]) == (None, 0)


def test_a_refusal_says_where_in_the_file_and_what_is_missing(bad_runs: dict[str, Any], extracts: Extracts):
    text = extracts.file(0).read_text(encoding="gb18030")
    wrong_byte = bad_runs["wrong_encoding inside"]["refusal"]

    assert wrong_byte["byte"] == len(_encoded(text[:20_000]))
    assert wrong_byte["line"] == text[:20_000].count("\n") + 1
    assert "逾期金额" in bad_runs["missing_column"]["refusal"]["reason"]
    assert bad_runs["line_too_long"]["refusal"]["line"] == 2


def test_nothing_of_a_refused_file_is_applied_and_each_refusal_is_an_event(
    stack: Stack, rival: Institution, bad_runs: dict[str, Any]
):
    kinds = {pk.partition("_")[0] for pk, _ in tenant_items(stack, rival.tenant_id, "cases")}

    connector = rival.api.get(f"/v1/connectors/{bad_runs['nul_byte']['connector_id']}")
    events = wait_for(
        "the events of the refusals",
        lambda: found if len(found := _of_connectors(rival)) >= len(BAD_FILES) else None,
    )

    assert not kinds & {"acct", "bor", "case"}
    assert (connector["active_run"], connector["last_applied"]) == (None, None)
    assert {event["type"] for event in events} == {"connector.run_failed"}
    assert {event["data"]["run_id"] for event in events} == {run["id"] for run in bad_runs.values()}


def _of_connectors(institution: Institution) -> list[dict[str, Any]]:
    return [each for each in institution.api.get("/v1/events")["items"] if each["type"].startswith("connector.")]


@pytest.mark.parametrize("name", ["loans.txt", "CORE_LOAN_20051332.txt", "../CORE_LOAN_20050430.txt", ""])
def test_a_file_name_that_the_mapping_does_not_expect_gets_no_address(name: str, bank: Institution, core_banking: str):
    answer = refused(bank.api, "POST", f"/v1/connectors/{core_banking}/uploads", {"file_name": name})

    assert (answer.status, answer.problem["pointer"]) == (422, "/file_name")


# --- requests


def test_an_unknown_preset_is_refused_with_the_list_of_those_there_are(bank: Institution):
    answer = refused(bank.api, "POST", "/v1/connectors", {"name": "Core", "preset": "cn-core-banking"})

    assert answer.status == 422
    assert scenario.PRESET in answer.problem["presets"]
    assert scenario.PRESET in answer.problem["detail"]


@pytest.mark.parametrize(
    "body",
    [b'{"name": "Core", "preset":', b"\xff\xfe{}", b"[" * 100_000, b'{"name": ' + b"1" * 5_000 + b"}"],
    ids=["cut short", "not UTF-8", "too deep", "a number without end"],
)
def test_a_body_that_is_not_json_is_malformed(body: bytes, bank: Institution):
    answer = refused(bank.api, "POST", "/v1/connectors", body)

    assert (answer.status, answer.problem["type"].rpartition("/")[2]) == (400, "malformed")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "Core", "preset": scenario.PRESET, "colour": "red"}, "/colour"),
        ({"name": "", "preset": scenario.PRESET}, "/name"),
        ({"name": ["Core"], "preset": scenario.PRESET}, "/name"),
        ({"name": "Core"}, ""),
    ],
    ids=["unknown member", "empty", "of another type", "missing"],
)
def test_a_member_that_is_not_accepted_is_pointed_at(body: dict[str, Any], pointer: str, bank: Institution):
    answer = refused(bank.api, "POST", "/v1/connectors", body)

    assert (answer.status, answer.problem["pointer"]) == (422, pointer)


def test_a_body_over_256_kilobytes_is_too_large(bank: Institution):
    answer = refused(bank.api, "POST", "/v1/connectors", b" " * (256 * 1024 + 1))

    assert answer.status == 413
    assert "262144" in answer.problem["detail"]


@pytest.mark.parametrize("cursor", ["garbage", "%F0%9F", "e30", "W10", "eyJhIjoxfQ", "x" * 2_000])
@pytest.mark.parametrize("path", ["/v1/cases?cursor=", "/v1/events?after=", "/v1/connectors/{}/runs?cursor="])
def test_a_cursor_that_no_page_gave_is_refused(path: str, cursor: str, bank: Institution, core_banking: str):
    answer = refused(bank.api, "GET", path.format(core_banking) + cursor)

    assert answer.status == 422
    assert answer.problem["pointer"] in {"/cursor", "/after"}


@pytest.mark.parametrize("limit", ["0", "-1", "201", "abc", "1.5", "", "9" * 800, "９"])
def test_a_limit_that_is_not_from_1_to_200_is_refused(limit: str, bank: Institution):
    answer = refused(bank.api, "GET", f"/v1/cases?limit={quote(limit)}")

    assert (answer.status, answer.problem["pointer"]) == (422, "/limit")


def test_an_id_longer_than_any_key_is_not_found(bank: Institution, core_banking: str):
    long = "x" * 2_500
    for path in (
        "cases",
        "accounts",
        "borrowers",
        "connectors",
        "webhook-endpoints",
        f"connectors/{core_banking}/runs",
    ):
        assert refused(bank.api, "GET", f"/v1/{path}/{long}").status == 404


# --- credentials


@pytest.fixture(scope="module")
def keys(stack: Stack, bank: Institution) -> dict[str, str]:
    """An expired key of the bank and one that may only read cases."""
    return as_function(stack, "api_handler", "make-keys", bank.tenant_id)


def test_an_expired_key_is_refused_and_told_so(stack: Stack, keys: dict[str, str]):
    answer = refused(Client(stack.url, keys["expired"]), "GET", "/v1/cases")

    assert (answer.status, answer.problem["detail"]) == (401, "the API key has expired")


@pytest.mark.parametrize(
    "token", ["nonsense", "db_key_", f"db_key_{NEVER_MADE}_{'a' * 43}", "db_key_é", "x" * 3_000], ids=lambda t: t[:12]
)
def test_a_key_that_was_never_made_is_refused(token: str, stack: Stack):
    answer = refused(Client(stack.url), "GET", "/v1/cases", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status, answer.problem["detail"]) == (401, "the API key is not valid")


def test_a_key_with_another_secret_is_refused(stack: Stack, bank: Institution):
    other = bank.api.token[:-1] + ("a" if bank.api.token[-1] != "a" else "b")

    assert refused(Client(stack.url, other), "GET", "/v1/cases").status == 401


def test_another_scheme_than_bearer_is_refused_with_the_right_one(stack: Stack):
    answer = refused(Client(stack.url), "GET", "/v1/cases", headers={"Authorization": "Basic b3duZXI6b3duZXI="})

    assert answer.status == 401
    assert "Bearer" in answer.problem["detail"]


def test_no_credential_at_all_is_refused(stack: Stack):
    assert refused(Client(stack.url), "GET", "/v1/cases").status == 401


def test_a_key_without_the_scope_is_refused_with_the_scope_it_lacks(stack: Stack, keys: dict[str, str]):
    reader = Client(stack.url, keys["reader"])

    answer = refused(reader, "POST", "/v1/connectors", {"name": "Core", "preset": scenario.PRESET})

    assert reader.get("/v1/cases?limit=1")["items"] is not None
    assert (answer.status, answer.problem["scope"]) == (403, "connectors:write")


# --- webhook addresses


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://169.254.169.254/", "metadata"),
        ("https://10.0.0.1/", "private"),
        ("https://192.168.1.1/", "private"),
        ("https://[fd00::1]/", "private"),
        # This machine's own ::1 is allowed on a stack that runs on this machine, but not under another guise.
        ("https://[::ffff:127.0.0.1]/", "IPv4-mapped loopback"),
        ("https://[::ffff:10.0.0.1]/", "IPv4-mapped private"),
        ("https://2130706433/", "ambiguous-ipv4"),
        ("http://example.com/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("https://bank:secret@example.com/", "userinfo"),
    ],
)
def test_webhooks_are_not_sent_to_an_address_that_is_not_public(url: str, rule: str, rival: Institution):
    answer = refused(rival.api, "POST", "/v1/webhook-endpoints", {"url": url})

    assert (answer.status, answer.problem["rule"], answer.problem["pointer"]) == (422, rule, "/url")


def test_an_endpoint_cannot_be_moved_to_an_address_that_is_not_public(rival: Institution):
    made = rival.api.post("/v1/webhook-endpoints", {"url": "http://127.0.0.1:9999/"})
    path = f"/v1/webhook-endpoints/{made['id']}"

    answer = refused(rival.api, "PATCH", path, {"url": "https://169.254.169.254/"})

    assert (answer.status, answer.problem["rule"]) == (422, "metadata")
    assert rival.api.get(path)["url"] == "http://127.0.0.1:9999/"
    rival.api.call("DELETE", path)


# --- signing up

DOUBTFUL = "owner@doubtful.example"


@pytest.fixture(scope="module")
def unpaid(stack: Stack) -> Applicant:
    """An institution that signed up, proved its mailbox and has not paid."""
    return scenario.apply(stack, name="Hopeful Finance", email="owner@hopeful.example")


@pytest.fixture(scope="module")
def unproved(stack: Stack) -> tuple[Client, str]:
    """Somebody who signed up and has not sent the code: their claim token's client, and where the sign-up is."""
    form = {
        "organisation": "../Doubtful",
        "jurisdiction": "CN",
        "region": "eu-central-1",
        "locale": "en",
        "currency": "CNY",
        "email": DOUBTFUL,
        "plan": "growth",
    }
    made = Client(stack.url).post("/v1/signup", form)
    return Client(stack.url, made["claim_token"]), f"/v1/signup/{made['tenant_id']}"


def test_a_checkout_before_the_mailbox_is_proved_is_refused(unproved: tuple[Client, str]):
    claimant, path = unproved

    answer = refused(claimant, "POST", f"{path}/checkout", {})

    assert (answer.status, answer.problem["rule"]) == (409, "email_unverified")


def test_wrong_codes_are_counted_and_after_the_last_even_the_right_one_is_refused(
    stack: Stack, unproved: tuple[Client, str]
):
    (claimant, path), right = unproved, mailbox.code_for(stack.aws_url, DOUBTFUL)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"

    answers = [refused(claimant, "POST", f"{path}/verify", {"code": wrong}) for _ in range(5)]
    last = refused(claimant, "POST", f"{path}/verify", {"code": right})

    assert {answer.status for answer in answers} == {422}
    assert [answer.problem["tries_left"] for answer in answers] == [4, 3, 2, 1, 0]
    assert last.status == 410
    assert f"{path}/code" in last.problem["detail"]
    assert not claimant.get(path)["email_verified"]


@pytest.mark.parametrize("step", ["code", "verify", "checkout", "claim"])
def test_the_claim_token_of_one_sign_up_is_of_no_use_for_another(
    step: str, unproved: tuple[Client, str], unpaid: Applicant
):
    (claimant, _), body = unproved, {"code": "000000"} if step == "verify" else {}

    answer = refused(claimant, "POST", f"{unpaid.path}/{step}", body)
    never_made = refused(claimant, "POST", f"/v1/signup/ten_{NEVER_MADE}/{step}", body)

    assert answer.status == never_made.status == 404
    assert answer.problem == never_made.problem


def test_an_address_of_another_tenants_person_is_refused_once_the_mailbox_is_proved(stack: Stack, rival: Institution):
    with pytest.raises(Refused) as answer:
        scenario.apply(stack, name="Second Try", email="OWNER@meridian-credit.example")

    # For a day the address is still held by the checkout that it went through.
    assert answer.value.status == 409
    assert answer.value.problem["rule"] in ("email_at_checkout", "email_taken")


# --- Stripe's signature


@pytest.fixture(scope="module")
def session(stack: Stack, unpaid: Applicant) -> str:
    """The checkout session of the institution that has not paid."""
    return items(stack, "tenants")[unpaid.tenant_id, "tenant"]["checkout_session_id"]["S"]


def _event(id: str, session: str) -> bytes:
    return json.dumps(
        {
            "id": id,
            "object": "event",
            "type": "checkout.session.completed",
            "created": int(time.time()),
            "data": {"object": {"id": session, "object": "checkout.session", "payment_status": "paid"}},
        }
    ).encode()


def _signed(body: bytes, secret: str, *, age: int = 0) -> dict[str, str]:
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={digest}"}


def _webhook_secret(stack: Stack) -> str:
    return json.loads((stack.folder / "stripe-keys.json").read_text())["webhook_secret"]


@pytest.mark.parametrize("forgery", ["another secret", "another body", "an old recording", "no signature", "nonsense"])
def test_an_event_that_stripe_did_not_just_sign_is_refused_and_not_stored(forgery: str, stack: Stack, session: str):
    body, secret = _event("evt_forged", session), _webhook_secret(stack)
    headers = {
        "another secret": _signed(body, "whsec_guessed"),
        "another body": _signed(_event("evt_other", session), secret),
        "an old recording": _signed(body, secret, age=301),
        "no signature": {},
        "nonsense": {"Stripe-Signature": "t=now,v1="},
    }[forgery]

    answer = refused(Client(stack.url), "POST", STRIPE, body, headers)

    assert (answer.status, answer.problem["type"].rpartition("/")[2]) == (400, "untrusted-event")
    assert ("evt_forged", "event") not in items(stack, "billing-events")


def test_even_a_signed_event_does_not_make_an_unpaid_checkout_paid(stack: Stack, unpaid: Applicant, session: str):
    body = _event("evt_early", session)

    answer = Client(stack.url).call("POST", STRIPE, body, _signed(body, _webhook_secret(stack)))
    stored = wait_for(
        "the event's processing",
        lambda: found if (found := items(stack, "billing-events")["evt_early", "event"])["processed"]["BOOL"] else None,
    )

    assert answer == {"received": True}
    assert stored["outcome"]["S"] == "not-settled"
    signup = unpaid.claim.get(unpaid.path)
    assert (signup["state"], signup["ready"]) == ("pending", False)
