"""A JSON document read as it comes: the elements of one array, one after another, however long the document is.

What stands beside that array is walked through, looked at where the form asks for it, and forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.json_values import Tokens, decode, pointed, text_of
from chalicelib.connectors.forms.utf8 import Utf8

MAX_DEPTH = 50
"""How deep what stands beside the rows is walked through; what lies deeper is read whole."""
_BLANKS = " \t\n\r"
_FILLED = re.compile(r"[^ \t\n\r]")


class DocumentRows:
    """The array at `rows` in a document. Iterate once; then `stated` has the texts found at the pointers `wanted`.

    Gives the value of each element; `raw` is then its text. Raises `FileRefused`, with the byte at fault. Holds a block
    and one value, of at most `max_row_bytes`, in memory.
    """

    def __init__(self, source: Utf8, rows: Tokens, wanted: Mapping[str, Tokens], max_row_bytes: int) -> None:
        self._source = source
        self._rows = rows
        self._wanted = wanted
        self._most = max_row_bytes
        self._text = ""
        self._begin = self._at = 0
        self._ended = False
        self._found = False
        self._count = 0
        self.stated: dict[str, str] = {}

    def __iter__(self) -> Iterator[Any]:
        if not self._peek():
            raise FileRefused("empty_file", "The file is empty: it holds no JSON document")
        yield from self._walk(())
        if self._peek():
            raise self._broken("something follows the end of the document")
        if not self._found:
            place = "/" + "/".join(self._rows) if self._rows else "the document itself"
            raise FileRefused("missing_rows", f"The document has no array at {place}, where its rows should be")

    @property
    def raw(self) -> str:
        """The text of the value read last."""
        return self._text[self._begin : self._at]

    def _walk(self, path: Tokens) -> Iterator[Any]:
        char = self._peek()
        if path == self._rows:
            if char != "[":
                return self._note(path, self._value())
            if self._found:
                raise self._broken("the array of the rows is there twice")
            self._found = True
            yield from self._elements()
        elif char == "[" and len(path) < MAX_DEPTH:
            for position in self._parts("]"):
                inner = (*path, str(position))
                if self._rows[: len(inner)] == inner:
                    yield from self._walk(inner)
                else:
                    self._note(inner, self._value())
        elif char == "{" and len(path) < MAX_DEPTH:
            for _ in self._parts("}"):
                yield from self._walk((*path, self._name()))
        else:
            self._note(path, self._value())
        return None

    def _elements(self) -> Iterator[Any]:
        for position in self._parts("]"):
            self._count = position
            yield self._value()

    def _parts(self, end: str) -> Iterator[int]:
        """Stands before each part of an array or object in turn, whose bracket comes next; counts from 0."""
        self._at += 1
        if self._peek() == end:
            self._at += 1
            return
        position = 0
        while True:
            yield position
            position += 1
            char = self._peek()
            if char not in (",", end) or not char:
                raise self._broken(f"a comma or {end} is missing") if char else self._cut_short()
            self._at += 1
            if char == end:
                return

    def _name(self) -> str:
        if self._peek() != '"':
            raise self._broken("the name of a member is missing")
        name = self._value()
        if self._peek() != ":":
            raise self._broken("a colon is missing")
        self._at += 1
        return name

    def _note(self, path: Tokens, value: Any) -> None:
        for name, tokens in self._wanted.items():
            if tokens[: len(path)] == path:
                for found in pointed(value, tokens[len(path) :]):
                    if name in self.stated:
                        raise self._broken(f"{'/' + '/'.join(tokens)} is there twice")
                    self.stated[name] = text_of(found)

    def _value(self) -> Any:
        """The value that begins here, which is read to its end."""
        if not self._peek():
            raise self._cut_short()
        while True:
            try:
                value, end = decode(self._text, self._at)
            except RecursionError:
                raise FileRefused(
                    "too_deep", f"{self._where()} nests deeper than can be read", byte=self._byte(self._at)
                ) from None
            except (StopIteration, ValueError) as problem:
                self._read_on(problem)
                continue
            # A number at the end of what was read may have more digits.
            if end < len(self._text) or self._ended:
                if end - self._at > self._most:
                    raise self._too_long()
                self._begin, self._at = self._at, end
                return value
            self._fill()

    def _read_on(self, problem: StopIteration | ValueError) -> None:
        """Reads more of a value that has no end yet; raises where it is known that there is none to come."""
        at = problem.value if isinstance(problem, StopIteration) else getattr(problem, "pos", self._at)
        is_open = at >= len(self._text.rstrip(_BLANKS)) or "Unterminated string" in str(problem)
        if self._ended:
            raise self._cut_short() if is_open else self._broken("what stands there is no JSON", at)
        if len(self._text) - self._at > self._most:
            if not is_open and len(self._text) - at > len("Infinity"):
                raise self._broken("what stands there is no JSON", at)
            raise self._too_long()
        self._fill()

    def _peek(self) -> str:
        """The next character that is not blank, which is where reading goes on; empty at the end."""
        while True:
            match = _FILLED.search(self._text, self._at)
            if match:
                self._at = match.start()
                return match[0]
            self._at = len(self._text)
            if self._ended:
                return ""
            self._fill()

    def _fill(self) -> None:
        """Reads on, by as much as is waiting already, so that a long value is not tried too often."""
        parts = [self._text[self._at :]]
        self._at = self._begin = 0
        wanted, found = len(parts[0]), 0
        while found <= wanted and not self._ended:
            parts.append(self._source.read())
            found += len(parts[-1])
            self._ended = not parts[-1]
        self._text = "".join(parts)

    def _where(self) -> str:
        return f"Row {self._count + 1}" if self._found else "What stands before the rows"

    def _byte(self, at: int) -> int:
        """The offset in the file of a place in what is held."""
        return self._source.bytes - len(self._text[at:].encode())

    def _broken(self, what: str, at: int | None = None) -> FileRefused:
        byte = self._byte(self._at if at is None else at)
        rows = f" after {self._count} rows" if self._found and self._count else ""
        return FileRefused("broken_document", f"The document is broken at byte {byte}{rows}: {what}", byte=byte)

    def _too_long(self) -> FileRefused:
        return FileRefused(
            "line_too_long",
            f"{self._where()} is longer than the {self._most} bytes that the mapping allows (max_row_bytes)",
            byte=self._byte(self._at),
        )

    def _cut_short(self) -> FileRefused:
        return self._broken("it ends there, and was cut short", len(self._text))
