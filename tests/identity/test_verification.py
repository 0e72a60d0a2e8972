"""The code that proves a mailbox: good for a quarter of an hour, five tries and one sign-up, and read only there."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.identity import verification
from chalicelib.identity.signup import send_code, sign_up, verify
from chalicelib.platform import mail
from chalicelib.platform.clock import parse_rfc3339
from chalicelib.platform.errors import Conflict, Gone, Invalid, Unavailable
from chalicelib.platform.settings import settings
from tests.billing.payments import payments, stripe_server  # noqa: F401 - fixtures
from tests.identity.applicants import Applicant, application, apply, code_for, codes_for, network, other_code, prove

MINUTES, TRIES = 15, 5


@pytest.fixture
def applicant(payments, now) -> Applicant:  # noqa: F811
    return apply(now)


def guess(applicant: Applicant, code: str, now) -> None:
    verify(applicant.tenant_id, applicant.token, code, now=now)


def guess_wrong(applicant: Applicant, now) -> int:
    """One wrong guess, and how many tries it says are left."""
    with pytest.raises(Invalid) as refused:
        guess(applicant, other_code(code_for(applicant.email)), now)
    assert refused.value.pointer == "/code"
    return refused.value.problem()["tries_left"]


def send_again(applicant: Applicant, now) -> str:
    send_code(applicant.tenant_id, applicant.token, now=now)
    return code_for(applicant.email)


def test_a_code_is_six_digits_and_also_those_that_begin_with_zeros(monkeypatch):
    assert all(re.fullmatch(r"[0-9]{6}", verification.new_code()) for _ in range(200))
    monkeypatch.setattr(verification.secrets, "randbelow", lambda limit: 42 if limit == 10**6 else None)
    assert verification.new_code() == "000042"


def test_the_right_code_proves_the_mailbox_and_is_kept_no_longer(applicant, now):
    assert applicant.record.email_verified_at is None
    prove(applicant, now)
    assert (applicant.record.email_verified_at, applicant.record.verification) == (now, None)


def test_wrong_codes_count_down_and_after_five_not_even_the_right_one_is_good(applicant, now):
    assert [guess_wrong(applicant, now) for _ in range(TRIES)] == [4, 3, 2, 1, 0]
    for code in (code_for(applicant.email), other_code(code_for(applicant.email))):
        with pytest.raises(Gone, match="/code"):
            guess(applicant, code, now)
    assert applicant.record.email_verified_at is None


def test_after_wrong_codes_the_right_one_is_good_as_long_as_a_try_is_left(applicant, now):
    for _ in range(TRIES - 1):
        guess_wrong(applicant, now)
    assert prove(applicant, now).page


def test_another_code_brings_its_own_tries_and_makes_the_earlier_one_worthless(applicant, now, monkeypatch):
    first = code_for(applicant.email)
    for _ in range(TRIES):
        guess_wrong(applicant, now)
    monkeypatch.setattr(verification, "new_code", lambda: other_code(first))
    second = send_again(applicant, now)
    with pytest.raises(Invalid) as refused:
        guess(applicant, first, now)
    assert refused.value.problem()["tries_left"] == TRIES - 1
    guess(applicant, second, now)
    assert applicant.record.email_verified_at == now


@pytest.mark.parametrize(("age", "is_good"), [(-1, True), (0, False), (1, False)])
def test_a_code_is_good_until_exactly_fifteen_minutes_have_passed(applicant, now, age, is_good):
    later = now + timedelta(minutes=MINUTES, microseconds=age)
    if is_good:
        assert prove(applicant, later).page
        return
    with pytest.raises(Gone):
        prove(applicant, later)
    assert applicant.record.email_verified_at is None


def test_another_code_is_good_for_fifteen_minutes_from_its_own_time(applicant, now):
    later = now + timedelta(days=2)
    send_again(applicant, later)
    assert parse_rfc3339(applicant.record.verification["expires_at"]) == later + timedelta(minutes=MINUTES)
    assert prove(applicant, later + timedelta(minutes=14)).page


def test_a_code_is_good_for_its_own_sign_up_alone(payments, now, monkeypatch):  # noqa: F811
    monkeypatch.setattr(verification, "new_code", lambda: "482913")
    one, other = apply(now), apply(now)
    assert one.record.verification["hash"] != other.record.verification["hash"], "the same code, kept as another"
    monkeypatch.setattr(verification, "new_code", lambda: "111222")
    third = apply(now)
    with pytest.raises(Invalid):
        guess(third, "482913", now)


def test_guesses_at_the_same_time_get_no_more_tries_than_one_after_the_other(applicant, now):
    right = int(code_for(applicant.email))
    wrong = [f"{(right + step) % 1_000_000:06d}" for step in range(1, 41)]

    def outcome(code: str) -> str:
        try:
            guess(applicant, code, now)
        except (Invalid, Conflict, Gone) as refused:
            return type(refused).__name__
        return "proved"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, wrong))
    told = outcomes.count("Invalid")
    assert told <= TRIES
    assert set(outcomes) <= {"Invalid", "Conflict", "Gone"}
    assert applicant.record.verification["tries_left"] == TRIES - told


def test_the_right_code_among_many_guesses_tells_nothing_unless_its_try_counted(applicant, now, monkeypatch):
    """Whoever was overtaken by another guess is told the same, whether the own guess was right or wrong."""
    right = code_for(applicant.email)

    def overtaken(record, **changes):
        raise Conflict("changed")

    monkeypatch.setattr(verification, "_write", overtaken)
    answers = []
    for code in (right, other_code(right)):
        with pytest.raises(Conflict) as refused:
            guess(applicant, code, now)
        answers.append(refused.value.problem())
    assert answers[0] == answers[1]


def test_of_two_that_prove_a_mailbox_at_once_nobody_is_harmed(applicant, now):
    code = code_for(applicant.email)

    def page(_: int) -> str | None:
        try:
            return verify(applicant.tenant_id, applicant.token, code, now=now)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        pages = {found for found in pool.map(page, range(4)) if found}
    assert applicant.record.email_verified_at == now
    assert len(pages) == 1


def test_proving_a_mailbox_twice_changes_nothing_and_answers_the_same_page(applicant, now):
    code = code_for(applicant.email)
    first = verify(applicant.tenant_id, applicant.token, code, now=now)
    later = now + timedelta(hours=3)
    assert verify(applicant.tenant_id, applicant.token, code, now=later) == first
    assert applicant.record.email_verified_at == now


def test_no_code_is_sent_to_a_mailbox_that_is_proved(applicant, now):
    prove(applicant, now)
    with pytest.raises(Conflict):
        send_code(applicant.tenant_id, applicant.token, now=now)
    assert len(codes_for(applicant.email)) == 1


def test_the_code_is_stored_nowhere_in_clear_nor_as_a_plain_digest(payments, now, monkeypatch):  # noqa: F811
    monkeypatch.setattr(verification, "new_code", lambda: "987654")
    applicant = apply(now)
    plain = {hashlib.sha256(text.encode()).hexdigest() for text in ("987654", f"code|{applicant.tenant_id}|987654")}
    for kind in ("tenants", "limits", "credentials"):
        pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=settings().shared_table(kind))
        stored = json.dumps([page["Items"] for page in pages], default=str)
        assert "987654" not in stored
        assert not any(digest in stored for digest in plain)
    assert set(applicant.record.verification) == {"hash", "expires_at", "tries_left"}
    assert codes_for(applicant.email) == ["987654"]


def test_codes_are_compared_in_constant_time(applicant, now, monkeypatch):
    compared = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(verification.hmac, "compare_digest", compare)
    guess_wrong(applicant, now)
    assert [(len(one), len(other)) for one, other in compared][-1] == (64, 64), "digests, and not the codes themselves"


def refuse_mail(monkeypatch, error: Exception) -> None:
    def send(*_: str) -> None:
        raise error

    monkeypatch.setattr(mail, "send", send)


DOWN = [
    ClientError({"Error": {"Code": "SendingPausedException", "Message": "owner@bank.example"}}, "SendEmail"),
    EndpointConnectionError(endpoint_url="https://email.example"),
]


@pytest.mark.parametrize("error", DOWN, ids=lambda error: type(error).__name__)
def test_while_no_mail_is_taken_a_sign_up_is_answered_and_another_code_can_be_asked_for(payments, now, error):  # noqa: F811
    with pytest.MonkeyPatch.context() as broken:
        refuse_mail(broken, error)
        applicant = apply(now)
        with pytest.raises(Unavailable) as refused:
            send_code(applicant.tenant_id, applicant.token, now=now)
    assert "@" not in str(refused.value.problem())
    assert codes_for(applicant.email) == []
    send_again(applicant, now)
    assert prove(applicant, now).page


def test_a_sign_up_killed_before_the_mail_leaves_a_record_that_another_code_proves(payments, now):  # noqa: F811
    class Killed(BaseException):
        pass

    with pytest.MonkeyPatch.context() as broken:
        applicant = apply(now)
        refuse_mail(broken, Killed())
        with pytest.raises(Killed):
            send_code(applicant.tenant_id, applicant.token, now=now)
    with pytest.raises(Invalid):
        guess(applicant, code_for(applicant.email), now)  # the lost one has replaced it already
    send_again(applicant, now)
    assert prove(applicant, now).page


@pytest.mark.parametrize(("locale", "words"), [("zh_CN", "验证码"), ("en", "is the code to go on")])
def test_the_mail_speaks_the_language_of_the_form_and_repeats_nothing_from_it(payments, now, locale, words):  # noqa: F811
    sent = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mail, "send", lambda *letter: sent.append(letter))
        form = application(locale=locale, organisation="Win a prize at example.com")
        sign_up(form, source=network(), now=now)
    ((to, subject, text),) = sent
    assert to == form.email
    assert words in text and "15" in text
    assert "prize" not in subject + text
