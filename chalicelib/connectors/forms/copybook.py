"""COBOL copybooks: from the description of a record to the place of each elementary item in it, in bytes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from chalicelib.connectors.forms.copybook_entries import CopybookInvalid, Entry, ItemKind, SignPlace, read_entries

MAX_ITEMS = 2_000
_REPEATED = re.compile(r"(.)\((\d{1,6})\)")
_NUMERIC = re.compile("(S?)(9*)(?:V(9*))?")
_EDITED = re.compile("[XA9BZ0/,.+$*CRDB-]+")


@dataclass(frozen=True, slots=True)
class Item:
    """An elementary item: its heading (see `Record`) and where in the record it stands, `start` from 1, in bytes."""

    name: str
    start: int
    length: int
    kind: ItemKind
    scale: int
    signed: bool
    sign: SignPlace


@dataclass(frozen=True, slots=True)
class Record:
    """What a copybook describes: the record's length in bytes, and its items in their order.

    A heading is the item's name as written, in capitals. Where several items have it, `OF` the group tells them apart;
    the occurrences of a table are `NAME(1)`, `NAME(2)` and so on. FILLER has no heading. `redefined` are the items that
    describe once more the bytes of others: which description holds is not known, so they are no columns.
    """

    length: int
    items: tuple[Item, ...]
    redefined: frozenset[str]


@lru_cache(maxsize=64)
def read_copybook(text: str) -> Record:
    """The record that a copybook describes; raises `CopybookInvalid`."""
    layout = _Layout()
    length = layout.place(read_entries(text), 1, (), (), is_redefined=False)
    if not layout.found:
        raise CopybookInvalid("the copybook names no item: all of the record is FILLER or redefines something")
    return Record(length, tuple(_with_headings(layout.found)), frozenset(layout.redefined))


@dataclass(frozen=True, slots=True)
class _Found:
    """An item placed: `groups` are the names above it, the nearest first; `at` its subscripts."""

    item: Item
    groups: tuple[str, ...]
    at: tuple[int, ...]


@dataclass(slots=True)
class _Layout:
    """Places entries one after another; what was found so far."""

    found: list[_Found] = field(default_factory=list[_Found])
    redefined: set[str] = field(default_factory=set[str])

    def place(
        self, entry: Entry, start: int, groups: tuple[str, ...], at: tuple[int, ...], *, is_redefined: bool
    ) -> int:
        """Places an entry, all times that it occurs, from byte `start` on; returns how many bytes it takes."""
        length = 0
        for occurrence in range(1, (entry.occurs or 1) + 1):
            below = (*at, occurrence) if entry.occurs else at
            length += self._place_once(entry, start + length, groups, below, is_redefined=is_redefined)
        return length

    def _place_once(
        self, entry: Entry, start: int, groups: tuple[str, ...], at: tuple[int, ...], *, is_redefined: bool
    ) -> int:
        if entry.picture is not None:
            item = _item(entry, start)
            if is_redefined:
                self.redefined.add(entry.name)
            elif entry.name != "FILLER":
                self.found.append(_Found(item, groups, at))
                if len(self.found) > MAX_ITEMS:
                    raise CopybookInvalid(f"the record has more than {MAX_ITEMS} items")
            return item.length
        inner = groups if entry.name == "FILLER" else (entry.name, *groups)
        length = 0
        lengths: dict[str, int] = {}
        for below in entry.below:
            below.usage = below.usage or entry.usage
            below.sign = below.sign or entry.sign
            if below.redefines is None:
                lengths[below.name] = self.place(below, start + length, inner, at, is_redefined=is_redefined)
                length += lengths[below.name]
                continue
            if below.redefines not in lengths:
                raise CopybookInvalid(
                    f"line {below.line}: {below.name} redefines {below.redefines}, no item before it in its group"
                )
            took = lengths[below.name] = self.place(below, start, inner, at, is_redefined=True)
            if took > lengths[below.redefines]:
                raise CopybookInvalid(
                    f"line {below.line}: {below.name} takes {took} bytes, more than the {lengths[below.redefines]} of "
                    f"{below.redefines}, which it redefines"
                )
        return length


def _item(entry: Entry, start: int) -> Item:
    """The item's kind and length by its picture and usage."""
    assert entry.picture is not None

    def refuse(sentence: str) -> CopybookInvalid:
        return CopybookInvalid(f"line {entry.line}: {entry.name} {sentence}")

    usage = entry.usage or "text"
    if sum(int(times) for _, times in _REPEATED.findall(entry.picture)) > 100_000:
        raise refuse("is longer than 100000 characters")
    picture = _REPEATED.sub(lambda part: part[1] * int(part[2]), entry.picture)
    text = Item(entry.name, start, 0, "text", 0, False, "trailing")
    if numeric := _NUMERIC.fullmatch(picture):
        scale = len(numeric[3] or "")
        digits, signed = len(numeric[2]) + scale, bool(numeric[1])
        if not 1 <= digits <= 38 or scale > 18:
            raise refuse("has no digits, more than 38, or more than 18 behind its decimal point")
        separate = entry.sign if signed and usage == "text" and entry.sign else "trailing"
        number = replace(text, scale=scale, signed=signed, sign=separate)
        match usage:
            case "packed":
                return replace(number, kind="packed", length=digits // 2 + 1)
            case "binary":
                if digits > 18:
                    raise refuse("is a binary number of more than 18 digits")
                return replace(number, kind="binary", length=2 if digits <= 4 else 4 if digits <= 9 else 8)
            case _ if signed or scale:
                return replace(number, kind="zoned", length=digits + separate.endswith("separate"))
            case _:
                # Digits without sign or point are as often a code as a number: its zeros must not be lost.
                return replace(text, length=digits)
    if usage != "text":
        raise refuse(f"has the picture {entry.picture[:30]}; a number of that usage has one like S9(7)V99")
    if set(picture) <= set("NG"):
        return replace(text, kind="graphic", length=2 * len(picture))
    if "P" in picture:
        raise refuse(f"has the picture {entry.picture[:30]}; digits that are not stored (P) are not read")
    if not _EDITED.fullmatch(picture):
        raise refuse(f"has the picture {entry.picture[:30]}, which is none that is known here")
    # What is edited (Z, commas, CR) is text that a mapping reads.
    return replace(text, length=len(picture))


def _with_headings(found: list[_Found]) -> Iterator[Item]:
    """The items under headings that are each there once: by name, or with as many groups as are needed."""
    names = [(one.item.name, *one.groups) for one in found]
    used = Counter(
        (name[:depth], one.at) for name, one in zip(names, found, strict=True) for depth in range(1, len(name) + 1)
    )
    for name, one in zip(names, found, strict=True):
        needed = next((depth for depth in range(1, len(name) + 1) if used[name[:depth], one.at] == 1), None)
        if needed is None:
            raise CopybookInvalid(f"two items are called {' OF '.join(name)}: no heading tells them apart")
        subscripts = f"({','.join(map(str, one.at))})" if one.at else ""
        yield replace(one.item, name=" OF ".join(name[:needed]) + subscripts)
