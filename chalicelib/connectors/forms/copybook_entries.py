"""The entries of a COBOL copybook: its lines, words and clauses, and which entry stands below which.

What a copybook can say that would make a place uncertain is refused by name, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NoReturn

SignPlace = Literal["trailing", "leading", "trailing-separate", "leading-separate"]
"""Where the sign of a zoned number stands: in the zone of its last or first byte, or in a byte of its own."""
ItemKind = Literal["text", "graphic", "zoned", "packed", "binary"]
"""How an item's bytes are to be read; `forms.model.Place` says what each kind is."""

_MOST_LINES = 20_000
_NO_STORAGE = {66, 88}
"""Levels that give other names, and names of values, to bytes that are described elsewhere."""
_USAGES: dict[str, ItemKind] = {
    "DISPLAY": "text", "DISPLAY-1": "text",
    "COMP": "binary", "COMP-4": "binary", "COMP-5": "binary", "BINARY": "binary",
    "COMP-3": "packed", "PACKED-DECIMAL": "packed",
}  # fmt: skip
_UNREAD_USAGES = {
    "COMP-1", "COMP-2", "COMP-6", "COMP-X", "COMP-N", "INDEX", "POINTER", "FUNCTION-POINTER", "PROCEDURE-POINTER",
    "NATIONAL",
}  # fmt: skip
_CLAUSES = {"PIC", "PICTURE", "USAGE", "OCCURS", "REDEFINES", "VALUE", "VALUES", "SIGN", *_USAGES, *_UNREAD_USAGES}
_SAY_NOTHING = {
    "JUST", "JUSTIFIED", "RIGHT", "GLOBAL", "EXTERNAL", "BLANK", "WHEN", "ZERO", "ZEROS", "ZEROES",
}  # fmt: skip
"""Words of clauses that do not change where an item stands."""
_REFERENCE_FORMAT = re.compile(r"[0-9 ]{0,6}|([0-9 ]{6}|[A-Z0-9]{6})[ */\-dD$].*")
_WORD = re.compile(r"""[XNG]?"(?:[^"]|"")*"\.?|[XNG]?'(?:[^']|'')*'\.?|\S+""", re.IGNORECASE)
_NAME = re.compile("[A-Z0-9\u0080-\uffff]([A-Z0-9_\u0080-\uffff-]*[A-Z0-9\u0080-\uffff])?")


class CopybookInvalid(ValueError):
    """A copybook that cannot be read; the sentence names the line and the item, and says what is accepted."""


@dataclass(slots=True)
class Entry:
    """One data description entry, and the entries below it."""

    line: int
    level: int
    name: str
    picture: str | None = None
    usage: ItemKind | None = None
    sign: SignPlace | None = None
    occurs: int | None = None
    redefines: str | None = None
    below: list[Entry] = field(default_factory=list["Entry"])


def read_entries(text: str) -> Entry:
    """The entry that all others of the copybook stand below; raises `CopybookInvalid`."""
    entries = [_entry(line, words) for line, words in _sentences(text)]
    entries = [entry for entry in entries if entry.level not in _NO_STORAGE]
    if not entries:
        raise CopybookInvalid("the copybook describes nothing: it has no item with a level and a PICTURE")
    return _tree(entries)


def _code_lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """The number and the code of each line that has some, and whether it continues the one before.

    In the reference format columns 1 to 6 hold a sequence number, column 7 a mark, 73 to 80 an identification.
    """
    lines = [line.expandtabs(8).rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    if len(lines) > _MOST_LINES:
        raise CopybookInvalid(f"the copybook has more than {_MOST_LINES} lines")
    is_fixed = all(_REFERENCE_FORMAT.fullmatch(line) for line in lines)
    for number, line in enumerate(lines, 1):
        mark, code = (line[6:7], line[7:72]) if is_fixed else (line.lstrip()[:1], line)
        if mark in ("*", "/", "$") or (is_fixed and mark in ("d", "D")):
            continue
        code = re.sub(r"\*>.*", "", code)
        if code.strip() and not re.fullmatch(r"\s*(EJECT|SKIP[123])\s*\.?", code, re.IGNORECASE):
            yield number, code, is_fixed and mark == "-"


def _sentences(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words of each entry, and the line on which it begins."""
    joined: list[tuple[int, str]] = []
    for number, code, continues in _code_lines(text):
        if not continues:
            joined.append((number, code))
            continue
        if not joined:
            raise CopybookInvalid(f"line {number}: continues a line, but is the first")
        begun, before = joined.pop()
        rest = code.lstrip()
        is_open = any(before.count(quote) % 2 for quote in "\"'")
        joined.append((begun, before.ljust(65) + rest[1:] if is_open else before.rstrip() + rest))
    words: list[str] = []
    first = 0
    for number, code in joined:
        for word in _WORD.findall(code):
            first = first if words else number
            bare = word.removesuffix(".")
            if bare.rstrip(",;"):
                words.append(bare.rstrip(",;"))
            if bare != word and words:
                yield first, words
                words = []
    if words:
        raise CopybookInvalid(f"line {first}: the entry does not end with a period")


def _entry(line: int, words: list[str]) -> Entry:
    if not re.fullmatch("[0-9]{1,2}", words[0]):
        what = words[0].upper()[:30]
        raise CopybookInvalid(f"line {line}: {what} begins no item; an entry is a level number and a name, ended by .")
    level = int(words[0])
    if not (1 <= level <= 49 or level in _NO_STORAGE):
        raise CopybookInvalid(f"line {line}: level {level} is not one of a record (1 to 49, 66, 88)")
    entry = Entry(line, level, "FILLER")
    rest = words[1:]
    if level in _NO_STORAGE:
        return entry
    if rest and _modern(rest[0]) not in _CLAUSES:
        entry.name = rest.pop(0).upper()
        if not _NAME.fullmatch(entry.name):
            raise CopybookInvalid(f"line {line}: {entry.name[:30]} is no name of an item")
    _Clauses(entry, rest).read()
    return entry


@dataclass(slots=True)
class _Clauses:
    """The clauses behind an entry's name, read word for word."""

    entry: Entry
    words: list[str]

    def read(self) -> None:
        while self.words:
            match _modern(self.words.pop(0)):
                case "PIC" | "PICTURE":
                    self._skip("IS")
                    self.entry.picture = self._next("a picture behind PIC").upper()
                case "USAGE":
                    self._skip("IS")
                case usage if usage in _USAGES:
                    self.entry.usage = _USAGES[usage]
                case usage if usage in _UNREAD_USAGES:
                    self._refuse(
                        f"has the usage {usage}, which is not read (DISPLAY, COMP, COMP-3, COMP-4, COMP-5 are); "
                        "where the file need not be read there, describe it as PIC X with its length in bytes"
                    )
                case "OCCURS":
                    self._occurs()
                case "REDEFINES":
                    self.entry.redefines = self._next("a name behind REDEFINES").upper()
                case "SIGN":
                    self._skip("IS")
                case "LEADING" | "TRAILING" as side:
                    self._sign(is_leading=side == "LEADING")
                case "VALUE" | "VALUES":
                    self._skip("IS", "ARE")
                    self._skip("ALL")
                    self._next("a value behind VALUE")
                case word if word in _SAY_NOTHING:
                    continue
                case "SYNC" | "SYNCHRONIZED" | "SYNCHRONISED":
                    self._refuse("is SYNCHRONIZED: how many bytes are left out before it is not known here")
                case word:
                    self._refuse(f"has the clause {word[:30]}, which is not known here")

    def _occurs(self) -> None:
        times = self._next("a number behind OCCURS")
        if not re.fullmatch("[0-9]{1,5}", times) or int(times) < 1:
            self._refuse("OCCURS must be followed by how many times, as a number")
        self._skip("TIMES")
        if self.words and self.words[0].upper() in ("TO", "DEPENDING"):
            self._refuse("occurs a number of times that differs from record to record; only a fixed number is read")
        if [word.upper() for word in self.words[:1]] in (["ASCENDING"], ["DESCENDING"]):
            while self.words and self.words[0].upper() not in ("INDEXED", "PIC", "PICTURE", "USAGE", *_USAGES):
                self.words.pop(0)
        if self.words and self.words[0].upper() == "INDEXED":
            self.words.pop(0)
            self._skip("BY")
            self._next("a name behind INDEXED BY")
        self.entry.occurs = int(times)

    def _sign(self, *, is_leading: bool) -> None:
        is_separate = bool(self.words) and self.words[0].upper() == "SEPARATE"
        self._skip("SEPARATE")
        self._skip("CHARACTER")
        if is_separate:
            self.entry.sign = "leading-separate" if is_leading else "trailing-separate"
        else:
            self.entry.sign = "leading" if is_leading else "trailing"

    def _next(self, what: str) -> str:
        if not self.words:
            self._refuse(f"lacks {what}")
        return self.words.pop(0)

    def _skip(self, *words: str) -> None:
        if self.words and self.words[0].upper() in words:
            self.words.pop(0)

    def _refuse(self, sentence: str) -> NoReturn:
        raise CopybookInvalid(f"line {self.entry.line}: {self.entry.name} {sentence}")


def _modern(word: str) -> str:
    """A word in capitals, and with its usual name where it has a longer one."""
    return word.upper().replace("COMPUTATIONAL", "COMP")


def _tree(entries: list[Entry]) -> Entry:
    """The first entry with the others below it; where it has others beside it, one above them all."""
    if entries[0].level > 1:
        entries = [Entry(entries[0].line, 0, "FILLER"), *entries]
    top = entries[1].level if entries[0].level == 0 else 2
    above: list[Entry] = []
    for entry in entries:
        if above and entry.level < top:
            raise CopybookInvalid(
                f"line {entry.line}: {entry.name} starts another record; each kind of record has a copybook of its own"
            )
        while above and above[-1].level >= entry.level:
            above.pop()
        if above:
            above[-1].below.append(entry)
        above.append(entry)
    for entry in entries:
        if bool(entry.below) == (entry.picture is not None):
            what = "a group and cannot have a PICTURE" if entry.below else "an item and needs a PICTURE"
            raise CopybookInvalid(f"line {entry.line}: {entry.name} is {what}")
    return above[0]
