"""Sealed values open only where they belong; blind indexes find equal values and nothing else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.platform.ids import is_id
from chalicelib.platform.sealing import SealBroken, Vault, normalised

KEY, INDEX = bytes(range(32)), bytes(range(32, 64))
vault = Vault("ten_A", KEY, INDEX)
text = st.text(max_size=60)


@given(st.dictionaries(text, text, max_size=6), text)
def test_what_was_sealed_opens_again(fields: dict[str, str], record: str) -> None:
    assert vault.open(vault.seal(fields, bound_to=record), bound_to=record) == fields


def test_fields_without_a_value_are_not_kept() -> None:
    assert vault.open(vault.seal({"name": "王", "phone": None}, bound_to="bor_1"), bound_to="bor_1") == {"name": "王"}


def test_a_sealed_value_is_worthless_on_another_record() -> None:
    sealed = vault.seal({"name": "王芳"}, bound_to="bor_1")
    with pytest.raises(SealBroken):
        vault.open(sealed, bound_to="bor_2")


def test_a_sealed_value_is_worthless_for_another_tenant_even_under_the_same_key() -> None:
    sealed = vault.seal({"name": "王芳"}, bound_to="bor_1")
    with pytest.raises(SealBroken):
        Vault("ten_B", KEY, INDEX).open(sealed, bound_to="bor_1")


@given(st.integers(min_value=0, max_value=40))
def test_a_changed_byte_breaks_the_seal(position: int) -> None:
    sealed = bytearray(vault.seal({"name": "王芳王芳王芳"}, bound_to="bor_1"))
    sealed[position % len(sealed)] ^= 1
    with pytest.raises(SealBroken):
        vault.open(bytes(sealed), bound_to="bor_1")


def test_the_same_fields_never_seal_to_the_same_bytes() -> None:
    assert vault.seal({"name": "王芳"}, bound_to="b") != vault.seal({"name": "王芳"}, bound_to="b")


def test_a_blind_index_finds_the_same_value_however_it_is_written() -> None:
    assert vault.blind_index("phone", "13800000000") == vault.blind_index("phone", " １３８ 0000 0000 ")
    assert vault.blind_index("name", "Anna LEE") == vault.blind_index("name", "anna lee")


def test_a_blind_index_differs_by_field_tenant_key_and_value() -> None:
    other = Vault("ten_A", KEY, KEY)
    found = {
        vault.blind_index("phone", "1"),
        vault.blind_index("id_number", "1"),
        vault.blind_index("phone", "2"),
        other.blind_index("phone", "1"),
    }
    assert len(found) == 4


@given(text, text)
def test_a_derived_id_is_always_the_same_and_keeps_its_parts_apart(first: str, second: str) -> None:
    assert vault.derived_id("acct", first, second) == vault.derived_id("acct", first, second)
    assert is_id("acct", vault.derived_id("acct", first, second))
    assert vault.derived_id("acct", first + "x", second) != vault.derived_id("acct", first, "x" + second)


def test_a_digest_differs_by_purpose_key_and_content() -> None:
    other = Vault("ten_A", KEY, KEY)
    made = [vault.digest("ledger", b"1"), vault.digest("report", b"1"), vault.digest("ledger", b"2")]
    assert len({*made, other.digest("ledger", b"1"), vault.blind_index("ledger", "1")}) == 5
    assert vault.digest("ledger", b"1") == made[0]
    assert len(made[0]) == 64


@given(text)
@example("K¸")
def test_normalising_twice_changes_nothing_more(value: str) -> None:
    assert normalised(normalised(value)) == normalised(value)
