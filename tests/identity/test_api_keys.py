"""API keys: shown once, kept as a keyed hash, refused in one sentence unless they expired or were revoked."""

from datetime import timedelta

import pytest
from pynamodb.exceptions import UpdateError

from chalicelib.identity import api_keys
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.requests import counted
from chalicelib.platform.store import shared


def test_a_key_works_and_its_text_is_stored_nowhere(aws: None, now) -> None:
    text, key = api_keys.create("ten_1", name="core", scopes={"cases:read"}, now=now)
    found = api_keys.verify(text, now=now)
    assert (found.tenant_id, found.scopes) == ("ten_1", {"cases:read"})
    stored = str(shared().bind(api_keys.ApiKey).get(key.pk, "api-key").attribute_values)
    assert text.split("_", 3)[3] not in stored


def test_an_expired_key_is_refused_and_told_so(aws: None, now) -> None:
    text, _ = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now, expires_at=now + timedelta(days=1))
    api_keys.verify(text, now=now + timedelta(hours=23))
    with pytest.raises(Unauthenticated, match="has expired"):
        api_keys.verify(text, now=now + timedelta(days=1))


def test_a_revoked_key_is_refused_and_told_so(aws: None, now) -> None:
    text, key = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)
    key.update(actions=[type(key).revoked_at.set(now)])
    with pytest.raises(Unauthenticated, match="was revoked"):
        api_keys.verify(text, now=now)


@pytest.mark.parametrize("change", ["wrong secret", "unknown id", "malformed", "empty", "very long", "other alphabet"])
def test_what_is_no_key_is_refused_in_one_and_the_same_sentence(aws: None, now, change: str) -> None:
    text, _ = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)
    presented = {
        "wrong secret": text[:-1] + ("A" if text[-1] != "A" else "B"),
        "unknown id": text.replace(text[7:33], "0" * 26),
        "malformed": "db_key",
        "empty": "",
        "very long": text + "x" * 10_000,
        "other alphabet": text[:-1] + "世",
    }[change]
    with pytest.raises(Unauthenticated, match=r"^the API key is not valid$"):
        api_keys.verify(presented, now=now)


def test_an_unknown_scope_is_not_given(aws: None, now) -> None:
    with pytest.raises(ValueError, match="cases:own"):
        api_keys.create("ten_1", name="k", scopes={"cases:own"}, now=now)


def test_the_use_of_a_key_is_noted_once_an_hour(aws: None, now) -> None:
    text, _ = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)

    def used(at):
        with counted() as requests:
            api_keys.note_use(api_keys.verify(text, now=at), now=at)
        return requests["UpdateItem"], api_keys.verify(text, now=at).last_used_at

    assert used(now) == (1, now)
    assert used(now + timedelta(minutes=59)) == (0, now)
    assert used(now + timedelta(minutes=60)) == (1, now + timedelta(minutes=60))


def test_of_two_uses_at_once_the_later_note_finds_nothing_to_do(aws: None, now) -> None:
    text, _ = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)
    one, other = (api_keys.verify(text, now=now) for _ in range(2))
    api_keys.note_use(one, now=now + timedelta(seconds=1))
    api_keys.note_use(other, now=now)
    assert api_keys.verify(text, now=now).last_used_at == now + timedelta(seconds=1)


def test_a_use_that_cannot_be_noted_refuses_nothing(aws: None, now, monkeypatch) -> None:
    text, key = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)

    def broken(*_, **__):
        raise UpdateError("the table is busy")

    monkeypatch.setattr(type(key), "update", broken)
    api_keys.note_use(api_keys.verify(text, now=now), now=now)
    assert api_keys.verify(text, now=now).last_used_at is None


def test_noting_the_use_of_a_key_that_is_gone_makes_nothing(aws: None, now) -> None:
    _, key = api_keys.create("ten_1", name="k", scopes={"cases:read"}, now=now)
    key.delete()
    api_keys.note_use(key, now=now)
    assert type(key).find(key.pk, "api-key") is None
