"""The claim token becomes the tenant's first API key: once, whoever asks at the same time and wherever it is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.identity import api_keys, signup
from chalicelib.identity.signup import check_out, claim, progress, send_code, verify
from chalicelib.platform.commit import commit_one
from chalicelib.platform.errors import Conflict, Gone, NotFound, Unauthenticated
from chalicelib.platform.ids import new_id
from chalicelib.platform.store import shared
from chalicelib.tenancy import records
from chalicelib.tenancy.provisioning import provision
from tests.identity.applicants import Applicant, apply


def keys_of(tenant_id: str) -> list[api_keys.ApiKey]:
    model = shared().bind(api_keys.ApiKey)
    return [key for key in model.scan(model.sk == "api-key") if key.tenant_id == tenant_id]


@pytest.fixture
def signed_up(aws, now) -> Applicant:
    return apply(now)


@pytest.fixture
def ready(signed_up) -> Applicant:
    """A sign-up whose tenant is paid for and provisioned, as the registry has it."""
    model = records()
    signed_up.record.update(actions=[model.state.set("active"), model.ready.set(True)])
    return signed_up


VERBS = {
    "progress": lambda tenant_id, token, now: progress(tenant_id, token, now=now),
    "code": lambda tenant_id, token, now: send_code(tenant_id, token, now=now),
    "verify": lambda tenant_id, token, now: verify(tenant_id, token, "000000", now=now),
    "checkout": lambda tenant_id, token, now: check_out(tenant_id, token, now=now),
    "claim": lambda tenant_id, token, now: claim(tenant_id, token, now=now),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_wrong_token_and_an_unknown_tenant_are_told_in_the_same_words(ready, now, verb):
    other, before = apply(now), ready.record.version
    answers = []
    for tenant_id, token in [
        (ready.tenant_id, "wrong"),
        (ready.tenant_id, ready.token[:-1]),
        (ready.tenant_id, other.token),
        (ready.tenant_id, ""),
        (new_id("ten"), ready.token),
        ("../x", ready.token),
        ("ten_", ready.token),
    ]:
        with pytest.raises(NotFound) as refused:
            verb(tenant_id, token, now)
        answers.append(refused.value.problem())
    assert all(answer == answers[0] for answer in answers)
    assert keys_of(ready.tenant_id) == []
    assert ready.record.version == before


def test_a_tenant_that_is_not_ready_gives_no_key_and_keeps_its_token(signed_up, now):
    with pytest.raises(Conflict) as refused:
        claim(signed_up.tenant_id, signed_up.token, now=now)
    assert refused.value.problem()["state"] == "pending"
    assert keys_of(signed_up.tenant_id) == []
    assert not progress(signed_up.tenant_id, signed_up.token, now=now).claimed


def test_a_claim_gives_a_key_that_works_for_every_scope_of_that_tenant(ready, now):
    key = claim(ready.tenant_id, ready.token, now=now)
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
    text = claim(ready.tenant_id, ready.token, now=now).text
    with pytest.raises(Gone):
        claim(ready.tenant_id, ready.token, now=now)
    assert progress(ready.tenant_id, ready.token, now=now).claimed
    assert len(keys_of(ready.tenant_id)) == 1
    assert api_keys.verify(text, now=now)


def test_a_spent_token_is_still_the_only_one_that_fits(ready, now):
    claim(ready.tenant_id, ready.token, now=now)
    with pytest.raises(NotFound):
        claim(ready.tenant_id, "wrong", now=now)


def test_of_two_claims_at_once_one_gets_a_key(ready, now):
    def attempt(_: int) -> str | None:
        try:
            return claim(ready.tenant_id, ready.token, now=now).text
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
        claim(ready.tenant_id, ready.token, now=now)
        return commit_one(store, group)

    monkeypatch.setattr(signup, "commit_one", overtaken)
    with pytest.raises(Gone):
        claim(ready.tenant_id, ready.token, now=now)
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
            claim(ready.tenant_id, ready.token, now=now)
    with pytest.raises(Unauthenticated, match="not valid"):
        api_keys.verify(texts[0], now=now)
    text = claim(ready.tenant_id, ready.token, now=now).text
    assert api_keys.verify(text, now=now)


def test_a_tenant_that_was_provisioned_step_by_step_can_be_claimed(signed_up, now):
    signed_up.record.update(actions=[records().state.set("trialing")])
    provision(signed_up.tenant_id)
    done = progress(signed_up.tenant_id, signed_up.token, now=now)
    assert (done.ready, done.steps_done) == (True, done.steps_total)
    assert claim(signed_up.tenant_id, signed_up.token, now=now)
