"""Text that must be UTF-8, block by block, with the place of what is not."""

from __future__ import annotations

import codecs

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.delivered import Readable

BLOCK = 1 << 18
_OTHERS = {"UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)}


def refuse_utf16(beginning: bytes, accepted: str) -> None:
    """Raises `FileRefused` where a file begins as UTF-16 or UTF-32 does, with a mark or with a NUL in a character."""
    for name, marks in _OTHERS.items():
        if beginning.startswith(marks):
            raise FileRefused("wrong_encoding", f"The file is {name}; accepted is {accepted}", line=1, byte=0)
    if b"\0" in beginning[:4]:
        raise FileRefused("wrong_encoding", f"The file is UTF-16, or no text at all; accepted is {accepted}", byte=0)


class Utf8:
    """A source as text, without a byte order mark; `bytes` of it were decoded so far."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = 0
        self._has_begun = False
        self.bytes = 0

    def read(self) -> str:
        """The next block; the empty text at the end. Raises `FileRefused` where the source is not UTF-8."""
        if not self._has_begun and (text := self._begin()):
            return text
        while block := self._source.read(BLOCK):
            if text := self._decoded(block):
                return text
        return self._decoded(b"", final=True)

    def _begin(self) -> str:
        self._has_begun = True
        block = b""
        while len(block) < len(codecs.BOM_UTF32_LE) and (more := self._source.read(BLOCK)):
            block += more
        refuse_utf16(block, "UTF-8")
        return self._decoded(block).removeprefix("\ufeff")

    def _decoded(self, block: bytes, *, final: bool = False) -> str:
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as problem:
            byte = self.bytes + problem.start
            raise FileRefused(
                "wrong_encoding", f"The file is not UTF-8: the byte at offset {byte} cannot be read", byte=byte
            ) from None
        held = len(self._decoder.getstate()[0])
        self.bytes += self._held + len(block) - held
        self._held = held
        return text
