"""XML read as it comes: the elements at some paths, one after another, however long the document is.

Python's tree builder, which is written in C, builds the tree, and whatever of it is complete is looked at and cut off
again. A second parser reads ahead of it and refuses what no extract has and attacks are made of: a document type, and
with it every entity that a document could define.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser
from xml.parsers import expat

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.delivered import BLOCK, Readable
from chalicelib.connectors.forms.utf8 import refuse_utf16

MAX_DEPTH = 100
"""How many elements may be open at a time."""
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CODECS = {
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "big5": "cp950", "big5-hkscs": "big5hkscs",
    "iso-8859-1": "latin-1", "windows-1252": "cp1252", "us-ascii": "ascii", "ascii": "ascii",
}  # fmt: skip
"""The encodings that a document may declare beside UTF-8, by what Python calls them."""
_CUT_SHORT = tuple(
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
)
_DECLARATION_BYTES = 300

Path = tuple[str, ...]


class Elements:
    """The elements of a document that stand at any of `paths` (names from the root down), each with its path.

    Iterate once. An element is given when it is complete, and its content is gone when the next one is asked for. What
    is given inside another that is given comes first. `root` is the name of the root, once it was met. Raises
    `FileRefused`. Holds a block and one element in memory, of at most `most` bytes with all that is in it.
    """

    def __init__(self, source: Readable, paths: Collection[Path], most: int) -> None:
        self._source = source
        self._paths = frozenset(paths)
        self._above = frozenset(path[:end] for path in paths for end in range(len(path)))
        self._most = most
        self._cut = False
        self.root: str | None = None

    def __iter__(self) -> Iterator[tuple[Path, Element]]:
        builder = TreeBuilder()
        # An element around the document's own, so that its tree can be seen while it grows.
        holder: Element = builder.start("", {})  # type: ignore[assignment] - the stubs leave out what it returns
        parser, guard = XMLParser(target=builder, encoding="utf-8"), _Guard()  # noqa: S314 - the guard reads first
        growing = 0
        for block in _as_utf8(self._source):
            guard.read(block)
            parser.feed(block)
            self._check_depth(holder)
            growing += len(block)
            for found in self._completed(holder, ()):
                growing = 0
                yield found
            if self._cut:
                growing, self._cut = 0, False
            if growing > self._most:
                raise FileRefused(
                    "line_too_long",
                    f"An element is longer than the {self._most} bytes that the mapping allows (max_row_bytes)",
                    line=guard.line,
                )
        guard.end()
        parser.close()
        yield from self._taken(holder, ())

    def _check_depth(self, holder: Element) -> None:
        depth, element = 0, holder
        while len(element):
            element, depth = element[-1], depth + 1
            if depth > MAX_DEPTH:
                raise FileRefused("too_deep", f"Elements nest deeper than {MAX_DEPTH}")
        if self.root is None and len(holder):
            self.root = holder[0].tag

    def _completed(self, element: Element, path: Path) -> Iterator[tuple[Path, Element]]:
        """What is found in an element that may still be open. Of those in it all are complete but the last."""
        if len(element) > 1:
            for child in element[:-1]:
                yield from self._taken(child, (*path, child.tag))
            del element[:-1]
            self._cut = True
        if len(element):
            inner = (*path, element[-1].tag)
            if inner not in self._paths or inner in self._above:
                yield from self._completed(element[-1], inner)

    def _taken(self, element: Element, path: Path) -> Iterator[tuple[Path, Element]]:
        """What is found in an element that is complete."""
        if path in self._above:
            for child in element:
                yield from self._taken(child, (*path, child.tag))
        if path in self._paths:
            yield path, element


class _Guard:
    """Refuses a document that is not well-formed or has a document type, with the place."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate("utf-8", "}")
        self._parser.StartDoctypeDeclHandler = self._refuse_type
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            self._parser.SetReparseDeferralEnabled(False)

    @property
    def line(self) -> int:
        """The line that was read last."""
        return self._parser.CurrentLineNumber

    def read(self, block: bytes, *, is_last: bool = False) -> None:
        """Reads on."""
        try:
            self._parser.Parse(block, is_last)
        except expat.ExpatError as problem:
            what = expat.ErrorString(problem.code)
            if problem.code in _CUT_SHORT:
                what = "it ends there, and was cut short"
            raise FileRefused(
                "broken_document",
                f"The document is broken at line {problem.lineno}, column {problem.offset + 1}: {what}",
                line=problem.lineno,
            ) from None

    def end(self) -> None:
        """The document has come to its end."""
        self.read(b"", is_last=True)

    def _refuse_type(self, *_: Any) -> None:
        raise FileRefused(
            "document_type",
            "The document has a document type (DOCTYPE), which could define entities; it is accepted without one",
            line=self.line,
        )


def _as_utf8(source: Readable) -> Iterator[bytes]:
    """The document in UTF-8, without byte order mark, whatever encoding it declares."""
    begin = b""
    while len(begin) < _DECLARATION_BYTES and (more := source.read(BLOCK)):
        begin += more
    refuse_utf16(begin, "UTF-8, or what the document declares of " + ", ".join(_CODECS))
    begin = begin.removeprefix(codecs.BOM_UTF8)
    declared = _DECLARED.match(begin)
    name = declared[1].decode().lower() if declared else "utf-8"
    if name == "utf-8":
        yield begin
        while block := source.read(BLOCK):
            yield block
        return
    if name not in _CODECS:
        raise FileRefused(
            "wrong_encoding",
            f"The document declares the encoding {name}; accepted are utf-8, {', '.join(_CODECS)}",
            line=1,
        )
    decoder = codecs.getincrementaldecoder(_CODECS[name])()
    before, block = 0, begin
    while True:
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as problem:
            raise FileRefused(
                "wrong_encoding",
                f"The document is not {name}, which it declares: near byte {before + problem.start} it cannot be read",
                byte=before + problem.start,
            ) from None
        yield text.encode()
        if not block:
            return
        before += len(block)
        block = source.read(BLOCK)
