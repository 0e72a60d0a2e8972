"""XML: rows wherever they stand, values from elements and attributes, and nothing of what attacks are made of."""

from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.formats import UNREADABLE
from tests.connectors.forms.reading import read, refused, rows

COLUMNS = {"key": "@id", "name": "Who/Name", "amount": "Amt", "currency": "Amt/@Ccy"}
XML = {"kind": "xml", "row": "Doc/Rows/Row", "columns": COLUMNS}


def document(*rows: str, head: str = "", tail: str = "") -> str:
    return f"<Doc>{head}<Rows>\n{''.join(f'  {row}' + chr(10) for row in rows)}</Rows>{tail}</Doc>"


def test_values_stand_in_elements_and_attributes(tmp_path):
    content = document(
        '<Row id="A&amp;1"><Who><Name>\n  王伟 </Name></Who><Amt Ccy="CNY">12.50</Amt></Row>',
        '<Row id=""><Amt/><Who/><!-- none --></Row>',
        "<Row><Amt>1<!-- x -->2<![CDATA[<3>]]>&#52;</Amt></Row>",
    )
    text = read(tmp_path, content.encode(), XML, tuple(COLUMNS))
    assert rows(text) == [["A&1", "王伟", "12.50", "CNY"], ["", "", "", ""], ["", "", "12<3>4", ""]]
    assert (text.headings, text.first_line, text.lines) == (tuple(COLUMNS), 1, 3)


def test_rows_stand_in_several_places_and_namespaces(tmp_path):
    content = (
        '<d:Doc xmlns:d="urn:d" xmlns="urn:e"><d:Stmt><Ntry x="1" d:x="2">a</Ntry></d:Stmt>'
        "<d:Stmt/><d:Other><Ntry>no</Ntry></d:Other><d:Stmt><Ntry>b</Ntry><d:Ntry>no</d:Ntry></d:Stmt></d:Doc>"
    )
    form = {
        "kind": "xml",
        "row": "p:Doc/p:Stmt/Ntry",
        "namespaces": {"p": "urn:d", "": "urn:e"},
        "columns": {"own": ".", "x": "@x", "px": "@p:x"},
    }
    assert rows(read(tmp_path, content.encode(), form)) == [["a", "1", "2"], ["b", "", ""]]


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("<Row><Amt>1</Amt><Amt>2</Amt></Row>", ["", "", UNREADABLE + "1 2", ""]),
        ("<Row><Amt>1<b>2</b></Amt></Row>", ["", "", UNREADABLE + "12", ""]),
        ("<Row><Who><Name>a</Name></Who><Who><Name>b</Name></Who></Row>", ["", UNREADABLE + "a b", "", ""]),
        ("<Row><Amt>a\r\nb&#13;&#10;c&#13;d</Amt></Row>", ["", "", "a\nb\nc\u240dd", ""]),
    ],
)
def test_a_value_that_is_not_known_for_certain_is_unreadable(tmp_path, row, values):
    assert rows(read(tmp_path, document(row).encode(), XML)) == [values]
    if "Who" not in row:
        flat = XML | {"columns": {"amount": "Amt", "name": "Name"}}
        assert rows(read(tmp_path, document(row).encode(), flat)) == [[values[2], ""]]


@pytest.mark.parametrize(
    ("head", "tail"), [("<N>2</N><S>7.5</S>", ""), ("", "<N> 2 </N><S>7.5</S>"), ("<N>2</N>", "<S>7.5</S>")]
)
def test_the_document_says_how_many_rows_there_are(tmp_path, head, tail):
    control = {"count": "Doc/N", "total": "Doc/S", "total_field": "account.balance"}
    text = read(tmp_path, document("<Row/>", "<Row/>", head=head, tail=tail).encode(), XML | {"control": control})
    assert text.trailer is not None
    assert (text.trailer.count, text.trailer.total, text.trailer.line) == (2, Decimal("7.5"), 3)


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS + "]><Doc><Rows><Row>&j;</Row></Rows></Doc>",
        '<!DOCTYPE Doc [<!ENTITY x SYSTEM "file:///etc/passwd">]><Doc><Rows><Row>&x;</Row></Rows></Doc>',
        '<!DOCTYPE Doc SYSTEM "http://127.0.0.1:1/evil.dtd"><Doc/>',
        '<?xml version="1.0"?>\n<!-- x -->\n<!DOCTYPE Doc><Doc/>',
    ],
    ids=["billion laughs", "external entity", "external type", "plain type"],
)
def test_a_document_type_is_refused_before_anything_is_expanded(tmp_path, content):
    error = refused(tmp_path, content.encode(), XML)
    assert (error.code, error.line is not None) == ("document_type", True)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "broken_document", "cut short"),
        (b"<Doc><Rows><Row>1</Row>", "broken_document", "line 1, column 24: it ends there"),
        (b"<Doc>\n<Rows><Row>1</Rows></Doc>", "broken_document", "line 2, column 15: mismatched tag"),
        (b"<Doc><Rows/></Doc><x/>", "broken_document", "junk after document element"),
        (b"<Doc><Rows><Row>&x;</Row></Rows></Doc>", "broken_document", "undefined entity"),
        (b"<Doc><Rows><Row>\x00</Row></Rows></Doc>", "broken_document", "line 1"),
        (b"<Doc><Rows><Row>\xff</Row></Rows></Doc>", "broken_document", "not well-formed"),
        (b"<Doc><Rows><p:Row/></Rows></Doc>", "broken_document", "unbound prefix"),
        (b"<Doc/>", "missing_rows", "its root is Doc"),
        (b"<Docs><Rows><Row/></Rows></Docs>", "missing_rows", "its root is Docs"),
        ("<Doc/>".encode("utf-16"), "wrong_encoding", "UTF-16"),
        (b'<?xml version="1.0" encoding="ebcdic-cp-us"?><Doc/>', "wrong_encoding", "ebcdic-cp-us"),
        (b'<?xml version="1.0" encoding="GBK"?><Doc>\xff\xff</Doc>', "wrong_encoding", "not gbk"),
        (b"<a>" * 200, "too_deep", "100"),
        (b"<a>" * 200_000, "too_deep", "100"),
    ],
)
def test_a_broken_document_is_refused_with_its_place(tmp_path, content, code, says):
    error = refused(tmp_path, content, XML)
    assert (error.code, says in error.detail) == (code, True), error.detail


@pytest.mark.parametrize(
    ("tail", "code"),
    [("<N>1</N><N>1</N>", "broken_document"), ("", "missing_trailer"), ("<N>one</N>", "unreadable_trailer")],
)
def test_what_the_document_should_state_and_does_not_is_refused(tmp_path, tail, code):
    assert refused(tmp_path, document(tail=tail).encode(), XML | {"control": {"count": "Doc/N"}}).code == code


@pytest.mark.parametrize("place", ["<Row><Amt>{}</Amt></Row>", "<Other>{}</Other>", "{}"])
def test_an_element_longer_than_allowed_is_refused_and_not_held(tmp_path, place):
    content = document(place.format("x" * 3_000_000)).encode()
    error = refused(tmp_path, content, XML)
    assert (error.code, "max_row_bytes" in error.detail) == ("line_too_long", True)
    assert read(tmp_path, content, XML | {"max_row_bytes": 4_000_000}).lines == place.count("<Row>")


@pytest.mark.parametrize("encoding", ["GBK", "gb2312", "GB18030", "Big5", "UTF-8", "utf-8"])
def test_a_document_is_read_in_the_encoding_that_it_declares(tmp_path, encoding):
    name = "張明" if encoding == "Big5" else "张明"
    content = f"<?xml version='1.0' encoding='{encoding}' ?>\n" + document(*[f"<Row><Amt>{name}</Amt></Row>"] * 20_000)
    assert rows(read(tmp_path, content.encode(encoding), XML)) == [["", "", name, ""]] * 20_000


def test_a_column_that_no_row_has_is_missing_and_the_names_there_are_are_told(tmp_path):
    content = document('<Row no="1"><Who/><Amt/></Row>').encode()
    error = refused(tmp_path, content, XML, ("key", "amount"))
    assert (error.code, error.extra["missing"], error.extra["found"]) == (
        "missing_column",
        ["key"],
        ["Who", "Amt", "@no"],
    )
    assert rows(read(tmp_path, document().encode(), XML, ("key",))) == []


@pytest.mark.parametrize(
    ("row", "content", "found"),
    [
        ("Row", "<Row><Amt>1</Amt></Row>", [["", "", "1", ""]]),
        ("Doc/Row", "<Doc><Row/><x/><Row/></Doc>", [[""] * 4] * 2),
    ],
)
def test_a_row_may_be_the_root_or_stand_below_it(tmp_path, row, content, found):
    assert rows(read(tmp_path, content.encode(), XML | {"row": row})) == found


# What XML can hold: no controls, and blanks at the ends of an element are none of its text.
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufdd0\ufffe\uffff"), max_size=8
)
values = texts.map(lambda text: text.strip(" \t\n\r"))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(texts, values, values, texts), max_size=6), st.sampled_from(["utf-8", "gb18030"]))
def test_any_table_written_as_xml_comes_back(tmp_path_factory, table, encoding):
    content = f"<?xml version='1.0' encoding='{encoding}'?>" + document(
        *(
            f"<Row id={quoteattr(key)}><Who><Name>{escape(name)}</Name></Who>"
            f"<Amt Ccy={quoteattr(currency)}>{escape(amount)}</Amt></Row>"
            for key, name, amount, currency in table
        )
    )
    folder = tmp_path_factory.mktemp("xml")
    assert rows(read(folder, content.encode(encoding), XML)) == [list(row) for row in table]


@given(st.binary(max_size=200) | st.text("<>/DocRw \"'&;!=?", max_size=60).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_read_or_refused(tmp_path_factory, content):
    try:
        read(tmp_path_factory.mktemp("any"), content, XML)
    except FileRefused as error:
        assert error.detail
