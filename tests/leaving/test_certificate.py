"""A certificate says what was erased and what remains, is signed, and is shown only to whoever holds its token."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.leaving import certificate, holds
from chalicelib.leaving.certificate import certificate_for, remainders
from chalicelib.leaving.leave import leave
from chalicelib.platform.errors import Conflict, NotFound
from chalicelib.platform.ids import new_id
from chalicelib.tenancy import State, find_tenant
from tests.leaving.departing import departing, erase_with_billing, letters_to, person, versioned_bucket
from tests.leaving.http import Http

NOW = datetime(2005, 9, 30, 16, 0, tzinfo=UTC)
JURISDICTIONS = ("CN", "US", "UK", "EU")


@pytest.fixture(autouse=True)
def _versions(aws: None):
    with versioned_bucket():
        yield


@pytest.fixture
def leaver(aws: None) -> SimpleNamespace:
    """A tenant that left, is due, and holds the token of its certificate."""
    tenant_id = departing()
    token = leave(tenant_id, confirm="Harbour Bank", now=NOW).certificate_token
    return SimpleNamespace(id=tenant_id, token=token)


def bytes_of(document: dict) -> bytes:
    """A document's bytes, made as the API's description of a certificate says."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def verify(shown: dict) -> None:
    """Checks a certificate with nothing but what it carries. Raises InvalidSignature."""
    written = bytes_of(shown["document"])
    assert hashlib.sha256(written).hexdigest() == shown["digest"]
    key = load_pem_public_key(shown["public_key"].encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    key.verify(b64decode(shown["signature"]), written, ec.ECDSA(SHA256()))


def test_its_signature_is_checked_with_what_it_carries_and_fails_for_any_other_word(leaver, http: Http) -> None:
    erase_with_billing(leaver.id)
    status, shown = http.get(leaver.token, f"/v1/certificates/{leaver.id}")
    assert (status, shown["tenant_id"], shown["algorithm"]) == (200, leaver.id, "ECDSA_SHA_256")
    verify(shown)
    forged = bytes_of(shown["document"] | {"tenant_id": new_id("ten")})
    key = load_pem_public_key(shown["public_key"].encode())
    with pytest.raises(InvalidSignature):
        key.verify(b64decode(shown["signature"]), forged, ec.ECDSA(SHA256()))


def test_it_says_what_was_in_each_place_when_it_was_erased_and_that_nothing_is_left(leaver) -> None:
    before = datetime.now(UTC)
    erase_with_billing(leaver.id)
    document = json.loads(certificate_for(leaver.id, leaver.token).document)
    erased = {entry["place"]: entry for entry in document["erased"]}
    assert (erased["objects"]["found"], erased["table:ledger"]["found"], erased["sign_in_users"]["found"]) == (5, 1, 1)
    assert {entry["left"] for entry in erased.values()} == {0}
    times = [datetime.fromisoformat(entry["finished_at"]) for entry in erased.values()]
    issued = datetime.fromisoformat(document["issued_at"])
    assert before - timedelta(seconds=1) < min(times) <= max(times) <= issued
    assert document["billing_records_kept"] == 2
    (deleted_on,) = document["keys"]["deleted_on"].values()
    assert timedelta(days=6) < datetime.fromisoformat(deleted_on) - issued <= timedelta(days=7)


def test_it_names_nobody(leaver) -> None:
    record = find_tenant(leaver.id)
    erase_with_billing(leaver.id)
    document = certificate_for(leaver.id, leaver.token).document
    assert record.owner_email not in document
    assert record.name not in document
    assert "@" not in document


def test_what_is_mailed_is_what_can_be_fetched(leaver, http: Http) -> None:
    address = find_tenant(leaver.id).owner_email
    erase_with_billing(leaver.id)
    (letter,) = letters_to(address)
    _, shown = http.get(leaver.token, f"/v1/certificates/{leaver.id}")
    assert shown["digest"] in letter
    assert shown["signature"] in letter


def test_before_the_erasure_it_says_when_that_will_be(leaver, http: Http) -> None:
    status, problem = http.get(leaver.token, f"/v1/certificates/{leaver.id}")
    assert (status, problem["state"], problem["legal_hold"]) == (409, "closing", False)
    assert datetime.fromisoformat(problem["erase_after"]) == find_tenant(leaver.id).erase_after
    holds.set_hold(person(leaver.id, "usr_1"), reason="court order 7", now=NOW)
    status, problem = http.get(leaver.token, f"/v1/certificates/{leaver.id}")
    assert (status, problem["legal_hold"]) == (409, True)
    assert "court" not in str(problem)


def test_a_wrong_token_and_an_unknown_tenant_are_answered_alike(leaver, http: Http) -> None:
    living = departing(state=State.ACTIVE)
    answers = [
        http.get(token, f"/v1/certificates/{tenant_id}")
        for tenant_id, token in [
            (leaver.id, "wrong"),
            (leaver.id, leaver.token[:-1]),
            (new_id("ten"), leaver.token),
            (living, leaver.token),
            ("..%2Fx", leaver.token),
            ("x" * 300, leaver.token),
        ]
    ]
    assert {status for status, _ in answers} == {404}
    assert len({json.dumps(problem) for _, problem in answers}) == 1
    erase_with_billing(leaver.id)
    assert http.get("wrong", f"/v1/certificates/{leaver.id}") == answers[0]


def test_a_tenant_without_a_token_shows_its_certificate_to_nobody(aws: None) -> None:
    tenant_id = departing()
    erase_with_billing(tenant_id)
    for token in ("", "None", "null"):
        with pytest.raises(NotFound):
            certificate_for(tenant_id, token)


def test_no_token_at_all_is_answered_401(leaver, http: Http) -> None:
    assert http.get("", f"/v1/certificates/{leaver.id}")[0] == 401


def test_a_certificate_is_issued_once(leaver) -> None:
    erase_with_billing(leaver.id)
    issued = certificate_for(leaver.id, leaver.token)
    again = certificate.issue(find_tenant(leaver.id), {})
    assert (again.signature, again.issued_at) == (issued.signature, issued.issued_at)


def test_while_the_last_step_is_not_done_there_is_no_certificate(leaver, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.leaving.erasure.mail", lost)
        with pytest.raises(ConnectionError):
            erase_with_billing(leaver.id)
    with pytest.raises(Conflict):
        certificate_for(leaver.id, leaver.token)
    assert erase_with_billing(leaver.id) == State.ERASED
    certificate_for(leaver.id, leaver.token)


@pytest.mark.parametrize("jurisdiction", JURISDICTIONS)
def test_every_jurisdiction_has_one_ground_for_billing_records(jurisdiction: str) -> None:
    found = remainders(jurisdiction, on=date(2026, 11, 25))
    billing = [each for each in found if each.what.startswith("billing records")]
    assert len(billing) == 1
    assert billing[0].until is not None
    assert billing[0].until >= date(2032, 12, 31)


@given(st.dates(max_value=date(9000, 1, 1)), st.sampled_from(JURISDICTIONS))
def test_what_remains_ends_after_the_erasure_or_never(on: date, jurisdiction: str) -> None:
    for each in remainders(jurisdiction, on=on):
        assert each.until is None or each.until > on
        assert each.ground


def test_a_remainder_of_days_ends_that_many_days_later() -> None:
    ends = {each.until for each in remainders("EU", on=date(2026, 11, 25))}
    assert {date(2026, 12, 30), date(2036, 12, 31), None} <= ends
