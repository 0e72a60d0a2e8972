"""Numbers as mainframes store them, read as decimal digits for a whole block of records at once.

Byte j of every record is one column of bytes (a slice with a stride). What is done to a column is done to all of its
records by one pass over its bytes: `bytes.translate` for what a single byte says, AND between whole columns, held as
integers, for what depends on the byte before. Nothing here runs once for each row.

Columns that come out hold characters of the file's own encoding, `FILL` where a record has nothing at that place, and
`wrong` where its byte is not what it should be: the caller takes the former out and marks the latter as unreadable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from chalicelib.connectors.forms.model import Place

FILL = 0
"""Stands where a record has nothing: before a number without a sign, in the place of its leading zeros."""

_INTEGERS = {2: ("h", 6), 4: ("i", 11), 8: ("q", 21)}
"""By length in bytes: the letter by which `struct` reads it, and how wide it prints with its sign at most."""
_PLUS, _MINUS = "ACEF", "BD"
"""Halves of a byte that are a sign. C and D are written today, F where a number has none; the others are read too."""


@dataclass(frozen=True, slots=True)
class Records:
    """Some records one after another, each `stride` bytes: `raw` holds `count` of them and nothing more."""

    raw: bytes
    stride: int

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.raw) // self.stride

    def column(self, at: int) -> bytes:
        """Byte `at` (from 0) of every record."""
        return self.raw[at :: self.stride]


@dataclass(frozen=True, slots=True)
class Codes:
    """The tables by which a byte is read (for `bytes.translate`), and the characters that numbers are written with.

    `digit` reads a byte that is a digit; `last_digit` one that may carry a sign in its zone, which `zone` reads (and
    `plus_zone` where no minus is allowed); `separate` a sign with a byte of its own; `high` and `low` the halves of a
    packed byte, `half` and `plus_half` a sign in the second. `is_zero` and `is_blank` (space, low-value) give all ones.
    """

    zero: int
    point: int
    wrong: int
    digit: bytes
    last_digit: bytes
    zone: bytes
    plus_zone: bytes
    separate: bytes
    high: bytes
    low: bytes
    half: bytes
    plus_half: bytes
    is_zero: bytes
    is_blank: bytes
    from_ascii: bytes


@cache
def codes(*, ebcdic: bool) -> Codes:
    """The tables of files in EBCDIC (whatever its code page: digits and signs are the same in all), or in a superset of
    ASCII."""
    codec = "cp037" if ebcdic else "latin-1"
    zones = _ebcdic_zones() if ebcdic else _ascii_zones()
    wrong, minus = "\x1a".encode(codec)[0], "-".encode(codec)[0]
    digits = "0123456789".encode(codec)

    def table(reading: Callable[[int], int | None]) -> bytes:
        return bytes(wrong if (code := reading(byte)) is None else code for byte in range(256))

    def digit(value: int | None) -> int | None:
        return digits[value] if value is not None and value < 10 else None

    def sign(mark: str | None, *, minus_too: bool = True) -> int | None:
        return {"+": FILL, "-": minus if minus_too else None, None: None}[mark]

    def half(byte: int) -> str | None:
        letter = f"{byte & 15:X}"
        return "+" if letter in _PLUS else "-" if letter in _MINUS else None

    def zone(byte: int) -> tuple[str | None, int | None]:
        return zones.get(byte, (None, None))

    def separate(byte: int) -> str | None:
        return {"+".encode(codec)[0]: "+", minus: "-"}.get(byte)

    return Codes(
        zero=digits[0],
        point=".".encode(codec)[0],
        wrong=wrong,
        digit=table(lambda byte: byte if byte in digits else None),
        last_digit=table(lambda byte: digit(zone(byte)[1])),
        zone=table(lambda byte: sign(zone(byte)[0])),
        plus_zone=table(lambda byte: sign(zone(byte)[0], minus_too=False)),
        separate=table(lambda byte: sign(separate(byte))),
        high=table(lambda byte: digit(byte >> 4)),
        low=table(lambda byte: digit(byte & 15)),
        half=table(lambda byte: sign(half(byte))),
        plus_half=table(lambda byte: sign(half(byte), minus_too=False)),
        is_zero=bytes(255 * (byte == digits[0]) for byte in range(256)),
        is_blank=bytes(255 * (byte in (0, " ".encode(codec)[0])) for byte in range(256)),
        from_ascii=bytes(FILL if byte == ord("+") else chr(byte).encode(codec)[0] for byte in range(256)),
    )


def number(records: Records, place: Place, tables: Codes) -> list[bytes]:
    """The columns of a number as plain decimal text: a minus sign if it has one, digits without leading zeros, and
    `place.scale` of them after a point. One of blanks or low-values only is empty, except a binary number: it is 0."""
    if place.kind == "binary":
        return _plain(*_binary(records, place, tables), place.scale, tables)
    stored = [records.column(at) for at in range(place.start - 1, place.end)]
    columns = _plain(*(_packed if place.kind == "packed" else _zoned)(stored, place, tables), place.scale, tables)
    if any(tables.wrong in column for column in columns):
        blank = _ones(records.count)
        for column in stored:
            blank &= _held(column.translate(tables.is_blank))
        columns = [_without(column, blank) for column in columns]
    return columns


def _packed(stored: list[bytes], place: Place, tables: Codes) -> tuple[bytes, list[bytes]]:
    digits = [column.translate(table) for column in stored for table in (tables.high, tables.low)]
    return stored[-1].translate(tables.half if place.signed else tables.plus_half), digits[:-1]


def _zoned(stored: list[bytes], place: Place, tables: Codes) -> tuple[bytes, list[bytes]]:
    at = 0 if place.sign.startswith("leading") else len(stored) - 1
    signed, others = stored[at], [stored[:at], stored[at + 1 :]]
    before, after = ([column.translate(tables.digit) for column in columns] for columns in others)
    if place.sign.endswith("separate"):
        return signed.translate(tables.separate), [*before, *after]
    sign = signed.translate(tables.zone if place.signed else tables.plus_zone)
    return sign, [*before, signed.translate(tables.last_digit), *after]


def _binary(records: Records, place: Place, tables: Codes) -> tuple[bytes, list[bytes]]:
    gathered = bytearray(records.count * place.length)
    for at in range(place.length):
        gathered[at :: place.length] = records.column(place.start - 1 + at)
    letter, width = _INTEGERS[place.length]
    integers = struct.unpack(f">{records.count}{letter if place.signed else letter.upper()}", gathered)
    printed = (f"%+0{width}d" * records.count % integers).encode().translate(tables.from_ascii)
    return printed[::width], [printed[at::width] for at in range(1, width)]


def _plain(sign: bytes, digits: list[bytes], scale: int, tables: Codes) -> list[bytes]:
    count = len(sign)
    zeros = [bytes([tables.zero]) * count] * (scale + 1 - len(digits))
    digits = zeros + digits
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    columns, leading = [sign], _ones(count)
    for digit in whole[:-1]:
        leading &= _held(digit.translate(tables.is_zero))
        columns.append(_without(digit, leading))
    columns.append(whole[-1])
    return [*columns, bytes([tables.point]) * count, *fraction] if fraction else columns


def _without(column: bytes, mask: int) -> bytes:
    """The column with `FILL` in the records whose bytes are ones in `mask`."""
    if not mask:
        return column
    held = _held(column)
    return (held ^ (held & mask)).to_bytes(len(column))


def _held(column: bytes) -> int:
    return int.from_bytes(column)


def _ones(count: int) -> int:
    return (1 << 8 * count) - 1


def _ebcdic_zones() -> dict[int, tuple[str | None, int | None]]:
    """What the byte with the sign of a zoned number says: its zone is the sign, its other half the digit."""
    signs = {**dict.fromkeys(_PLUS, "+"), **dict.fromkeys(_MINUS, "-")}
    return {int(zone, 16) << 4 | digit: (sign, digit) for zone, sign in signs.items() for digit in range(10)}


def _ascii_zones() -> dict[int, tuple[str | None, int | None]]:
    """The same where the file was translated to ASCII (`{`, A to I for plus, `}`, J to R for minus), or written there
    by compilers that add 40 to a negative digit (p to y)."""
    readings = {"0123456789": "+", "{ABCDEFGHI": "+", "}JKLMNOPQR": "-", "pqrstuvwxy": "-"}
    return {ord(letter): (sign, digit) for letters, sign in readings.items() for digit, letter in enumerate(letters)}
