"""Fixed-width records as another system writes them, value by value: the reader is tested against this."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from chalicelib.connectors.forms import ebcdic_chinese
from chalicelib.connectors.forms.model import FixedColumn

EBCDIC = ("cp037", "cp500", "cp935")


def in_bytes(text: str, encoding: str) -> bytes:
    return (
        ebcdic_chinese.encoded(text) if encoding == "cp935" else text.encode({"big5": "cp950"}.get(encoding, encoding))
    )


def written(value: Any, column: FixedColumn, encoding: str) -> bytes:
    """The bytes of a value in its column: text with blanks behind it, a number with as many digits as fit."""
    if column.kind == "text":
        return in_bytes(value, encoding).ljust(column.length, in_bytes(" ", encoding))
    if column.kind == "graphic":
        pairs = in_bytes(value, encoding)
        pairs = pairs[1:-1] if encoding == "cp935" else pairs
        return pairs.ljust(column.length, in_bytes(" ", encoding))
    unscaled = int(Decimal(value).scaleb(column.scale))
    if column.kind == "binary":
        return unscaled.to_bytes(column.length, "big", signed=column.signed)
    minus, digits = unscaled < 0, str(abs(unscaled))
    if column.kind == "packed":
        sign = "D" if minus else "C" if column.signed else "F"
        return bytes.fromhex(digits.zfill(2 * column.length - 1) + sign)
    if column.sign.endswith("separate"):
        digits, mark = digits.zfill(column.length - 1), "-" if minus else "+"
        return in_bytes(mark + digits if column.sign.startswith("leading") else digits + mark, encoding)
    digits = digits.zfill(column.length)
    if not column.signed:
        return in_bytes(digits, encoding)
    at = 0 if column.sign == "leading" else column.length - 1
    if encoding in EBCDIC:
        signed = bytes([(0xD0 if minus else 0xC0) + int(digits[at])])
    else:
        signed = ("}JKLMNOPQR" if minus else "{ABCDEFGHI")[int(digits[at])].encode()
    return in_bytes(digits[:at], encoding) + signed + in_bytes(digits[at + 1 :], encoding)


def record(values: dict[str, Any], columns: list[FixedColumn], encoding: str, *, length: int | None = None) -> bytes:
    """A record of columns that follow one another, with blanks behind them up to `length`."""
    begun = b"".join(written(values[column.name], column, encoding) for column in columns)
    return begun.ljust(length or len(begun), in_bytes(" ", encoding))


def in_order(*columns: dict[str, Any]) -> list[FixedColumn]:
    """Columns that stand one after another: each without its `start`."""
    placed: list[FixedColumn] = []
    for column in columns:
        start = placed[-1].end + 1 if placed else 1
        placed.append(FixedColumn.model_validate({"start": start, **column}))
    return placed
