"""How values are written into the text that a reader makes, so that none of them can part a column or a line.

What a line cannot hold is shown as a symbol. A carriage return that ends no line stays one that staging quarantines the
row for (see `formats.STRAY_RETURN`); a line end inside a value comes back as one when the row is parted.
"""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.connectors.expressions import literal
from chalicelib.connectors.formats import STRAY_RETURN
from chalicelib.connectors.forms.model import INNER_DELIMITER
from chalicelib.connectors.quoting import INNER_LINE_END

_SHOWN_AS = {
    "\r\n": INNER_LINE_END,
    "\n": INNER_LINE_END,
    "\r": STRAY_RETURN,
    "\0": "\u2400",
    INNER_DELIMITER: "\u241f",
}


def shown(value: str) -> str:
    """A value as it stands in the text."""
    if value.isprintable():
        return value
    for character, symbol in _SHOWN_AS.items():
        value = value.replace(character, symbol)
    return value


def shown_in_sql(expression: str) -> str:
    """The expression of a text (null: empty) as the expression of how it stands in the text."""
    shown = f"coalesce({expression}, '')"
    for character, symbol in _SHOWN_AS.items():
        code = "chr(13) || chr(10)" if character == "\r\n" else f"chr({ord(character)})"
        shown = f"replace({shown}, {code}, {literal(symbol)})"
    return shown


def line_of(values: Sequence[str]) -> str:
    """A row as a line of the text, its end included."""
    return INNER_DELIMITER.join(map(shown, values)) + "\n"
