"""What a sample of lines is written in: encoding, delimiter, quotes, headings. Guesses for a person to confirm.

Nothing here is used while a file is read for a run: a run reads what the mapping says and refuses anything else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from chalicelib.connectors.formats import BLANKS
from chalicelib.connectors.forms.model import DelimitedFormat, TextEncoding
from chalicelib.connectors.quoting import split_record
from chalicelib.platform.errors import Invalid

MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
MOST_SKIPPED = 3
"""How many lines before the headings are looked over for a title or a header record."""
MOST_JOINED = 20
"""How many lines one record is taken to have at most: a quote that nothing closes is not one that opens."""
AGREEING = 0.9
"""The share of lines that must have as many columns as the headings."""
_SEPARATORS = re.compile(r"[\t\x01-\x08\x0b\x0c\x0e-\x1f]|[|!;,^~@#$&*+:=\u00a6\u00a7]{1,4}")
_NUMBER = re.compile(r"-?[0-9][0-9,]*(\.[0-9]+)?|[-+./:,#0-9A-Za-z]*[0-9]{4}[-+./:,#0-9A-Za-z]*")
"""A number, or something numbered, such as a day or a key: what stands in rows and not in headings."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """The encoding that a sample reads best in, whether it begins with a byte order mark, and how sure that is (0 to
    1)."""

    encoding: TextEncoding
    mark: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Layout:
    """How lines are parted: `skipped` lines come before the headings (`names` where there are none), then rows."""

    delimiter: str
    quote: str | None
    escape: str | None
    skipped: int
    header: bool
    names: tuple[str, ...]

    def form(self, encoding: TextEncoding) -> DelimitedFormat:
        """The format that says the same."""
        return DelimitedFormat(
            kind="delimited",
            encoding=encoding,
            delimiter=self.delimiter,
            quote=self.quote,
            escape=self.escape,
            skip_lines=self.skipped,
            header=self.header,
            names=None if self.header else list(self.names),
        )


def spelling_of(sample: bytes) -> Spelling:
    """The encoding of a sample that ends with a whole line. Raises Invalid for what is no text in a known one."""
    if b"\0" in sample:
        raise Invalid("the sample holds NUL bytes: it is UTF-16, or not text at all", pointer="/sample")
    if sample.startswith(MARK):
        return Spelling("utf-8", True, 1.0)
    if sample.isascii() or _reads(sample, "utf-8") is not None:
        return Spelling("utf-8", False, 1.0)
    western: TextEncoding = "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"
    scores: dict[TextEncoding, float] = {
        "gb18030": _share_of_common(sample, "gb18030", range(0xB0, 0xD8), range(0xA1, 0xAA)),
        "big5": _share_of_common(sample, "cp950", range(0xA4, 0xC7), range(0xA1, 0xA4)),
        western: _share_of_lone_letters(sample, western),
    }
    best = max(scores, key=lambda encoding: scores[encoding])
    if scores[best] == 0:
        raise Invalid("the sample is no text in UTF-8, GB18030, Big5 or Latin-1", pointer="/sample")
    return Spelling(best, False, round(scores[best], 2))


def layout_of(lines: Sequence[str]) -> Layout | None:
    """How the lines are parted into columns; None where no delimiter parts them alike."""
    for skipped in range(min(MOST_SKIPPED, len(lines) - 1) + 1):
        quote = next((mark for mark in ('"', "'") if _is_quoted(mark, lines[skipped : skipped + 50])), None)
        escape = "\\" if quote and any(re.search(rf"\\{quote}\w", line) for line in lines) else None
        heading, *rows = _joined(lines[skipped:], quote, escape)
        if (delimiter := _delimiter(heading, rows, quote, escape)) is not None:
            names = columns_of(heading, delimiter, quote, escape)
            header = is_header(names, [columns_of(row, delimiter, quote, escape) for row in rows[:20]])
            if not header:
                names = [f"column {number}" for number in range(1, len(names) + 1)]
            return Layout(delimiter, quote, escape, skipped, header, tuple(names))
    return None


def columns_of(line: str, delimiter: str, quote: str | None, escape: str | None) -> list[str]:
    """The values of a line, blanks around them taken off."""
    form = DelimitedFormat(kind="delimited", encoding="utf-8", delimiter=delimiter, quote=quote, escape=escape)
    return [value.strip(BLANKS) for value in split_record(line, form)]


def is_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a line is one of headings: most columns have one, nothing numbered is among them, none stands twice or
    among the values below."""
    filled = [name for name in names if name]
    if any(map(_NUMBER.fullmatch, filled)) or len(set(filled)) < len(filled) or 2 * len(filled) <= len(names):
        return False
    return not any(name in row for name in filled for row in rows)


def _reads(sample: bytes, encoding: str) -> str | None:
    try:
        return sample.decode(encoding)
    except UnicodeDecodeError:
        return None


def _share_of_common(sample: bytes, encoding: str, common: range, signs: range) -> float:
    """Of the characters beyond ASCII, the share of those in common use, told by their first byte (and, in GB18030, by
    a second one that GB 2312 has); punctuation counts for neither side."""
    text = _reads(sample, encoding)
    if text is None:
        return 0.0
    seen: Counter[Literal["common", "rare"]] = Counter()
    for character, times in Counter(text).items():
        written = character.encode(encoding)
        if len(written) == 1 or written[0] in signs:
            continue
        usual = written[0] in common and (encoding != "gb18030" or (len(written) == 2 and written[1] >= 0xA1))
        seen["common" if usual else "rare"] += times
    return seen["common"] / max(1, seen.total())


def _share_of_lone_letters(sample: bytes, encoding: str) -> float:
    """Of the bytes beyond ASCII, the share of accented letters within words of plain ones."""
    if _reads(sample, encoding) is None:
        return 0.0
    beyond = len(re.findall(rb"[\x80-\xff]", sample))
    lone = len(re.findall(rb"(?<![\x80-\xff])[\xc0-\xd6\xd8-\xf6\xf8-\xff\x8a\x8e\x9a\x9e](?![\x80-\xff])", sample))
    return lone / max(1, beyond)


def _joined(lines: Sequence[str], quote: str | None, escape: str | None) -> list[str]:
    """The lines, with those made one that a quoted line end stands between: an odd number of quotes leaves one open."""
    if quote is None:
        return list(lines)
    records: list[str] = []
    is_open, joined = False, 0
    for line in lines:
        plain = line.replace(f"{escape}{quote}", "") if escape else line
        if is_open and joined < MOST_JOINED:
            records[-1] += "\n" + line
            joined += 1
        else:
            records.append(line)
            is_open, joined = False, 1
        is_open ^= plain.count(quote) % 2 == 1
    return records


def _delimiter(heading: str, rows: Sequence[str], quote: str | None, escape: str | None) -> str | None:
    """What parts the heading and most rows into as many columns, and into more of them than anything else does."""
    runs = set(_SEPARATORS.findall(heading if quote is None else heading.replace(quote, "")))
    best: tuple[float, int, str] = (0.0, 0, "")
    for delimiter in sorted(runs | {mark for run in runs for mark in run}):
        if _is_part(delimiter, heading, runs) or _is_half(delimiter, quote, [heading, *rows[:20]]):
            continue
        width = len(columns_of(heading, delimiter, quote, escape))
        if width < 2:
            continue
        # The last line may be a trailer.
        compared = rows[:-1] if len(rows) > 1 else rows
        agree = sum(len(columns_of(row, delimiter, quote, escape)) == width for row in compared)
        best = max(best, (agree / len(compared) if compared else 1.0, width, delimiter))
    share, _, delimiter = best
    return delimiter if share >= AGREEING else None


def _is_part(delimiter: str, heading: str, runs: Collection[str]) -> bool:
    """Whether a delimiter stands nowhere but within a longer one, which is more than the same mark repeated."""
    return any(
        delimiter in run
        and set(run) != set(delimiter)
        and heading.count(delimiter) == heading.count(run) * run.count(delimiter)
        for run in runs
    )


def _is_half(delimiter: str, quote: str | None, lines: Sequence[str]) -> bool:
    """Whether a delimiter is the half of one that is its double: every second column is empty, in every line."""
    return all(not any(columns_of(line, delimiter, quote, None)[1::2]) for line in lines)


def _is_quoted(quote: str, lines: Sequence[str]) -> bool:
    """Whether some column stands in quotes: one opens at a line's begin or behind punctuation, another closes it."""
    mark = re.escape(quote)
    column = re.compile(rf"(?:^|[^\w\s]){mark}[^{mark}]*{mark}(?:$|[^\w\s{mark}])")
    return any(column.search(line) for line in lines)
