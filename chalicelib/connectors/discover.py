"""From a sample to a proposal: in what form a file is, what its columns hold, and a mapping to begin with.

Whoever discovers sees shapes and no values. A run never guesses: it reads what the mapping says, which is what a person
made of this proposal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from chalicelib.connectors.detect import columns_of, layout_of, spelling_of
from chalicelib.connectors.forms.encodings import decoded
from chalicelib.connectors.forms.model import DelimitedFormat, Trailer
from chalicelib.connectors.profile import Profile, profile
from chalicelib.connectors.quoting import RecordJoiner
from chalicelib.connectors.samples import Sample, unzipped
from chalicelib.connectors.suggest import Missing, Suggestion, file_pattern, suggest
from chalicelib.connectors.synonyms import Synonyms, synonyms
from chalicelib.connectors.vocabulary import MONEY_TARGETS
from chalicelib.platform.errors import Invalid

MAX_READ_BYTES = 1 << 20
"""How much of a waiting file is looked at, packed or not."""
PROFILED_ROWS = 2_000
ANY_NAME = r"[A-Za-z0-9_-]*(?P<business_date>\d{8})\.(txt|csv|dat)"
"""The pattern proposed where no file's name is known."""
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:(\{\s*[\x22}]|\[\s*[\[{\]])|<[?!A-Za-z])")
"""How JSON and XML begin, and no line of headings does."""
_PREFIX = re.compile(r"[^\W\d_][\w.-]{0,49}")


@dataclass(frozen=True)
class LastLine:
    """A last line that counts the rows: at position `count`, and at each of `totals` the sum of a column, by name."""

    prefix: str
    count: int
    totals: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Discovery:
    """What was found. `format` is null where no form fits, and `notes` then say why. `encoding_confidence` is 0 to 1;
    `mapping` is the whole proposal as a document, complete where nothing that is `required` is missing."""

    format: dict[str, Any] | None
    encoding_confidence: float
    rows: int
    columns: tuple[Profile, ...]
    suggestion: Suggestion
    mapping: dict[str, Any] | None
    notes: tuple[str, ...]


def discover(sample: Sample) -> Discovery:
    """The form, the columns and a mapping of the file that the sample is from. Raises Invalid, pointing at `/sample`,
    for what is empty or no text."""
    words = synonyms()
    sample, container = _unpacked(sample)
    content = sample.content if sample.whole else sample.content[: sample.content.rfind(b"\n") + 1]
    if not content.strip():
        raise Invalid("the sample holds not one whole line", pointer="/sample")
    if (document := _DOCUMENT.match(content)) is not None:
        kind = "XML" if document[1] is None else "JSON"
        note = f"a {kind} document, and no lines of columns: where its rows and columns stand, its format has to say"
        return Discovery(None, 1.0, 0, (), Suggestion((), ()), None, (note,))
    spelling = spelling_of(content)
    lines = _lines(decoded(content, spelling.encoding).removeprefix("\ufeff"))
    layout = layout_of(lines)
    if layout is None:
        return Discovery(None, spelling.confidence, len(lines), (), Suggestion((), ()), None, (_unparted(lines),))
    form = layout.form(spelling.encoding)
    records = _records(lines[layout.skipped + layout.header :], form)
    last = _last_line(records, layout.names, form) if sample.whole else None
    rows = records[:-1] if last else records
    columns = tuple(_profiles(rows[:PROFILED_ROWS], layout.names, form, words))
    suggestion = suggest(columns, words)
    trailer = None if last is None else _trailer(last, suggestion)
    form = form.model_copy(update={"container": container, "trailer": trailer})
    document = form.model_dump(mode="json", exclude_defaults=True)
    pattern = file_pattern(sample.file_name) if sample.file_name else None
    if pattern is None:
        sentence = "no file's name with a day as YYYYMMDD is known: the pattern is a common one"
        named = Missing("/source/file_pattern", "", sentence, (), required=False)
        suggestion = replace(suggestion, missing=(*suggestion.missing, named))
    return Discovery(
        document,
        spelling.confidence,
        len(rows),
        columns,
        suggestion,
        _mapping(document, suggestion, pattern or ANY_NAME),
        tuple(_notes(sample, rows, len(layout.names), form, last)),
    )


def _unpacked(sample: Sample) -> tuple[Sample, str]:
    """What is packed in the sample, as far as it is there, and the name of the container."""
    content = sample.content
    if content.startswith((b"PK\x03\x04", b"PAR1")):
        raise Invalid("a zip, a workbook or a Parquet file is described by its mapping's format", pointer="/sample")
    if not content.startswith(b"\x1f\x8b"):
        return sample, "none"
    return unzipped(sample, MAX_READ_BYTES), "gzip"


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _records(lines: Sequence[str], form: DelimitedFormat) -> list[str]:
    """The lines with those joined that are one record, and without blank ones."""
    if form.quote is not None:
        joiner = RecordJoiner(form)
        joined = joiner.feed("".join(f"{line}\n" for line in lines).encode()) + joiner.finish()
        lines = joined.decode().split("\n")
    return [line for line in lines if line.strip()]


def _values(record: str, form: DelimitedFormat) -> list[str]:
    return columns_of(record, form.delimiter, form.quote, form.escape)


def _profiles(rows: Sequence[str], names: Sequence[str], form: DelimitedFormat, words: Synonyms) -> list[Profile]:
    table = [values for row in rows if len(values := _values(row, form)) == len(names)]
    return [profile(name, [values[at] for values in table], words) for at, name in enumerate(names) if name]


def _last_line(records: Sequence[str], names: Sequence[str], form: DelimitedFormat) -> LastLine | None:
    """The last record as a trailer, where it begins with a word and counts the others."""
    if len(records) < 2:
        return None
    parts, rows = _values(records[-1], form), records[:-1]
    counts = [at for at, part in enumerate(parts) if at and part.isdecimal() and int(part) == len(rows)]
    if not counts or not _PREFIX.fullmatch(parts[0]):
        return None
    sums = _sums([_values(row, form) for row in rows], names)
    totals = [
        (at, name)
        for at, part in enumerate(parts)
        if at not in (0, counts[0]) and (stated := _number(part)) is not None
        for name, total in sums.items()
        if total == stated
    ]
    return LastLine(parts[0], counts[0], tuple(totals))


def _sums(table: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, Decimal]:
    """The sum of each column that holds nothing but amounts and blanks."""
    sums: dict[str, Decimal] = {}
    for at, name in enumerate(names):
        numbers = [_number(row[at] or "0") for row in table if len(row) == len(names)]
        if name and all(number is not None for number in numbers):
            sums[name] = sum((number for number in numbers if number is not None), Decimal(0))
    return sums


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.replace(",", "")) if len(text) <= 40 and text.isascii() else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _trailer(last: LastLine, suggestion: Suggestion) -> Trailer:
    """The trailer as the format has it; a sum is named only where a money field is proposed for its column."""
    for at, name in last.totals:
        for proposed in suggestion.fields:
            if proposed.document["source"] == name and proposed.target in MONEY_TARGETS:
                return Trailer(prefix=last.prefix, count=last.count, total=at, total_field=proposed.target)
    return Trailer(prefix=last.prefix, count=last.count)


def _mapping(form: dict[str, Any], suggestion: Suggestion, pattern: str) -> dict[str, Any]:
    return {
        "preset": "own",
        "source": {"kind": "object-store", "file_pattern": pattern},
        "format": form,
        "fields": [proposed.document for proposed in suggestion.fields],
        "checks": list(suggestion.checks),
    }


def _notes(sample: Sample, rows: Sequence[str], width: int, form: DelimitedFormat, last: LastLine | None) -> list[str]:
    notes: list[str] = []
    if not sample.whole:
        notes.append("the sample ends before the file does: whether a trailer follows was not seen")
    elif last is not None and last.totals and form.total_field is None:
        names = ", ".join(sorted({name for _, name in last.totals}))
        notes.append(f"the last line holds the sum of {names}, of which no field is proposed")
    odd = sum(len(_values(row, form)) != width for row in rows[:PROFILED_ROWS])
    if odd:
        notes.append(f"{odd} rows do not have {width} columns: they would be quarantined")
    if not form.header:
        notes.append("the first line is no line of headings: give the columns names (format.names)")
    if form.encoding == "gb18030":
        notes.append("GB18030 reads all that GBK and GB 2312 hold")
    return notes


def _unparted(lines: Sequence[str]) -> str:
    if len({len(line.encode("gb18030", "replace")) for line in lines}) == 1 and len(lines) > 1:
        return "every line is as long as the others: a file of fixed width, whose columns somebody has to know"
    return "no delimiter parts the lines into as many columns each"
