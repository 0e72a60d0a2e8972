"""Names that are only shown, in letters too: whatever they are called, and never what is not a name."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.identity.texts import visible_name
from tests.identity.applicants import application


@pytest.mark.parametrize(
    "name",
    [
        "Pay now: https://bank.example/login",
        "http://bank.example",
        "see WWW.bank.example",
        "www.bank.example Ltd",
        "Bank ｈｔｔｐｓ：／／bank.example",  # full width, as a Chinese keyboard types it
        "ＷＷＷ．bank.example",
        "Harbour javascript://x",
    ],
)
def test_a_name_is_no_link_that_our_letters_would_carry_to_strangers(name: str) -> None:
    with pytest.raises(ValueError, match="web page"):
        visible_name(name)
    with pytest.raises(ValueError, match="web page"):
        application(organisation=name)


@pytest.mark.parametrize("name", ["Booking.com", "Crédit // Débit", "Wwwave Bank", "A: B/C", "港湾银行", "Ltd. 🏦"])
def test_a_name_with_dots_slashes_and_colons_is_a_name(name: str) -> None:
    assert visible_name(name) == name


@given(st.text(min_size=1, max_size=40), st.sampled_from(["://", "www.", "wWw.", "：／／"]), st.text(max_size=40))
def test_wherever_a_link_begins_it_is_refused(before: str, link: str, after: str) -> None:
    with pytest.raises(ValueError, match=r"accepted|needed"):
        visible_name(before + link + after)


@given(st.text(min_size=1, max_size=60))
def test_what_is_accepted_stays_as_it_is(name: str) -> None:
    try:
        shown = visible_name(name)
    except ValueError:
        assume(False)
    else:
        assert visible_name(shown) == shown
