"""A copybook says where each item of a record stands; what would make that uncertain is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors.forms.copybook import Item, read_copybook
from chalicelib.connectors.forms.copybook_entries import CopybookInvalid


def places(text: str) -> dict[str, tuple[int, int, str]]:
    return {item.name: (item.start, item.length, item.kind) for item in read_copybook(text).items}


def item(description: str) -> Item:
    [found] = read_copybook(f"05 A {description}.").items
    return found


def test_items_stand_one_after_another_and_filler_has_no_heading():
    record = read_copybook("""\
000100* THE LOAN MASTER                                                 LOANMAST
000200 01  LOAN-REC.                                                    LOANMAST
000300     05  LN-KEY        PIC X(16).                                 LOANMAST
000400     05  FILLER        PIC X(4) VALUE SPACES.                     LOANMAST
000500     05  LN-BALANCE    PIC S9(11)V99 COMP-3.                      LOANMAST
000600     05                PIC XX.                                    LOANMAST
000700     05  LN-STATUS     PIC X.                                     LOANMAST
000800         88  LN-OPEN   VALUE 'O' 'P'.                             LOANMAST
000900         88  LN-CLOSED VALUE 'C.'.                                LOANMAST
""")
    assert [(i.name, i.start, i.length, i.kind, i.scale) for i in record.items] == [
        ("LN-KEY", 1, 16, "text", 0),
        ("LN-BALANCE", 21, 7, "packed", 2),
        ("LN-STATUS", 30, 1, "text", 0),
    ]
    assert record.length == 30


PICTURES = {
    "PIC X": (1, "text"),
    "PICTURE IS XXX": (3, "text"),
    "PIC A(10)": (10, "text"),
    "PIC N(10)": (20, "graphic"),
    "PIC G(3) USAGE DISPLAY-1": (6, "graphic"),
    "PIC 9(8)": (8, "text"),
    "PIC Z,ZZ9.99-": (9, "text"),
    "PIC $$9.99CR": (8, "text"),
    "PIC S9(7)": (7, "zoned"),
    "PIC 9(7)V99": (9, "zoned"),
    "PIC SV9(4)": (4, "zoned"),
    "PIC S9(5) SIGN IS LEADING SEPARATE CHARACTER": (6, "zoned"),
    "PIC S9(5) TRAILING SEPARATE": (6, "zoned"),
    "PIC S9(5) LEADING": (5, "zoned"),
    "PIC S9(7)V99 COMP-3": (5, "packed"),
    "PIC S9(8) PACKED-DECIMAL": (5, "packed"),
    "COMPUTATIONAL-3 PIC 9": (1, "packed"),
    "PIC S9(4) COMP": (2, "binary"),
    "PIC S9(5) USAGE IS BINARY": (4, "binary"),
    "PIC 9(10) COMP-5 VALUE ZERO": (8, "binary"),
    "PIC X(3) VALUE ALL '*'": (3, "text"),
    "PIC X(3) VALUE 'it''s. '": (3, "text"),
    "PIC X(3) JUSTIFIED RIGHT": (3, "text"),
}


@pytest.mark.parametrize("description", PICTURES)
def test_picture_and_usage_give_length_and_kind(description):
    assert (item(description).length, item(description).kind) == PICTURES[description]


def test_digits_without_sign_or_point_keep_their_zeros_as_they_may_be_a_code():
    assert item("PIC 9(16)").kind == "text"


@pytest.mark.parametrize(
    ("clause", "sign"),
    [
        ("", "trailing"),
        ("SIGN IS LEADING", "leading"),
        ("SIGN LEADING SEPARATE", "leading-separate"),
        ("SIGN IS TRAILING SEPARATE CHARACTER", "trailing-separate"),
    ],
)
def test_the_sign_stands_where_its_clause_says(clause, sign):
    assert item(f"PIC S9(3) {clause}").sign == sign


def test_usage_and_sign_of_a_group_hold_for_the_items_in_it():
    assert places(
        "01 R. 05 G COMP-3. 10 A PIC S9(3). 10 B PIC S9(3) COMP. 05 H SIGN LEADING SEPARATE. 10 C PIC S9."
    ) == {
        "A": (1, 2, "packed"),
        "B": (3, 2, "binary"),
        "C": (5, 2, "zoned"),
    }


def test_each_occurrence_is_a_column():
    assert places(
        "01 R. 05 A PIC X. 05 T OCCURS 2 TIMES INDEXED BY I. 10 B PIC X(2). 10 C OCCURS 2 PIC 9(3). 05 Z PIC X."
    ) == {
        "A": (1, 1, "text"),
        "B(1)": (2, 2, "text"),
        "C(1,1)": (4, 3, "text"),
        "C(1,2)": (7, 3, "text"),
        "B(2)": (10, 2, "text"),
        "C(2,1)": (12, 3, "text"),
        "C(2,2)": (15, 3, "text"),
        "Z": (18, 1, "text"),
    }


def test_a_name_that_several_items_have_is_told_apart_by_its_group():
    text = "01 R. 05 HOME. 10 CITY PIC X(5). 10 GEO. 15 LAT PIC X. 05 WORK. 10 CITY PIC X(5). 10 GEO. 15 LAT PIC X."
    assert list(places(text)) == ["CITY OF HOME", "LAT OF GEO OF HOME", "CITY OF WORK", "LAT OF GEO OF WORK"]


def test_what_describes_bytes_once_more_is_no_column_and_moves_nothing():
    record = read_copybook(
        "01 R. 05 A PIC X(8). 05 B REDEFINES A. 10 B1 PIC 9(4). 10 B2 PIC X(4). 05 C REDEFINES A PIC X(3). 05 D PIC X."
    )
    assert [(i.name, i.start) for i in record.items] == [("A", 1), ("D", 9)]
    assert record.redefined == {"B1", "B2", "C"}


def test_lines_may_be_numbered_commented_continued_and_end_as_they_like():
    text = (
        """\
      / PAGE
       01  R.
           COPY-NUMBER-ONE
           """.replace("COPY-NUMBER-ONE\n           ", "05  A-LONG-NA")
        + """
      -    ME PIC X(3).
      D    05  DEBUGGED PIC X(9).
           EJECT
           05  B PIC X VALUE 'A QUOTE THAT GOES ON AND ON AND ON AND ON
      -    'AND ENDS. '.   *> 05 NO PIC X.
           05  C,
               PIC  X; VALUE 'x'.
"""
    )
    assert places(text.replace("\n", "\r\n")) == {
        "A-LONG-NAME": (1, 3, "text"),
        "B": (4, 1, "text"),
        "C": (5, 1, "text"),
    }


def test_a_copybook_may_be_in_free_format_and_a_part_of_a_record():
    assert places("* a comment\n05 a pic x.\n05 客户名 pic n(10). 05 g.\n  10 b pic 9.") == {
        "A": (1, 1, "text"),
        "客户名": (2, 20, "graphic"),
        "B": (22, 1, "text"),
    }


REFUSED = {
    "": "describes nothing",
    "01 R. 88 X VALUE 1.": "needs a PICTURE",
    "01 R. 05 FILLER PIC X.": "names no item",
    "01 R. 05 A PIC X": "period",
    "COPY OTHER.": "COPY begins no item",
    "77 A PIC X.": "level 77",
    "01 A PIC X. 01 B PIC X.": "another record",
    "05 A PIC X. 03 B PIC X.": "another record",
    "01 R PIC X. 05 A PIC X.": "group and cannot have a PICTURE",
    "05 A COMP-1.": "usage COMP-1",
    "05 A USAGE POINTER.": "usage POINTER",
    "05 A PIC N(3) NATIONAL.": "usage NATIONAL",
    "05 A PIC S9(4) COMP SYNC.": "SYNCHRONIZED",
    "05 A PIC X OCCURS 1 TO 5 TIMES DEPENDING ON N.": "differs from record to record",
    "05 A PIC X OCCURS N TIMES.": "how many times",
    "05 A PIC X OCCURS 0.": "how many times",
    "05 A PIC X OCCURS 3000.": "more than 2000 items",
    "01 R. 05 A PIC X. 05 B REDEFINES Q PIC X.": "Q, no item before it",
    "01 R. 05 A PIC X. 05 B REDEFINES A PIC XX.": "2 bytes, more than the 1",
    "05 A PIC S9(5)P(3).": "P",
    "05 A PIC X(5) COMP-3.": "a number of that usage",
    "05 A PIC 9(19) COMP.": "more than 18 digits",
    "05 A PIC 9(39)V9.": "more than 38",
    "05 A PIC SV.": "no digits",
    "05 A PIC ZZ9V99.": "none that is known",
    "05 A PIC Q(4).": "none that is known",
    "05 A PIC X(999999).": "longer than",
    "05 A-.": "no name",
    "05 A PIC X. 05 A PIC X.": "two items are called A",
    "05 A PIC X VOLATILE.": "clause VOLATILE",
    "05 A PIC.": "lacks a picture",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_would_make_a_place_uncertain_is_refused_by_name(text):
    with pytest.raises(CopybookInvalid, match=REFUSED[text]):
        read_copybook(text)


def test_the_sentence_says_on_which_line():
    with pytest.raises(CopybookInvalid, match="line 3: B "):
        read_copybook("01 R.\n05 A PIC X.\n05 B\nPIC X(5) COMP-3.")


@given(st.text("0159 ABXSV()9.-'\"\n PICOMP3", max_size=80) | st.text(max_size=30))
def test_any_text_is_a_record_or_refused(text):
    try:
        record = read_copybook(text)
    except CopybookInvalid:
        return
    assert all(1 <= i.start <= i.start + i.length - 1 <= record.length for i in record.items)
