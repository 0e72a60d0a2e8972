"""The bytes of a file as delivered, counted and digested while they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol, Self

from chalicelib.connectors.errors import FileRefused

BLOCK = 1 << 16
"""Bytes read at a time: small enough that a block stays in the processor's cache from decoding to writing."""


class Readable(Protocol):
    """What a file is read from: an object store's answer and an open file alike."""

    def read(self, size: int = -1, /) -> bytes: ...


class Delivered:
    """A source that keeps the SHA-256 and the number of the bytes that were read from it."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.bytes = 0

    @classmethod
    def of(cls, source: Readable) -> Self:
        """The source itself where it keeps count already, so that nothing is digested twice."""
        return source if isinstance(source, cls) else cls(source)

    @property
    def sha256(self) -> str:
        """The digest of what was read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as are there, at most `size`; none at the end."""
        block = self._source.read(size)
        self._digest.update(block)
        self.bytes += len(block)
        return block

    def drain(self) -> None:
        """Reads what is left, so that the digest is that of the whole file."""
        while self.read(BLOCK):
            pass


def spool(source: Readable, path: Path, at_most: int) -> None:
    """Writes what is left of the source to a file, for what must be read in any order.

    Raises `FileRefused` ("unpacks_too_far") once it is longer than `at_most` bytes.
    """
    written = 0
    with path.open("wb") as out:
        while block := source.read(BLOCK):
            written += len(block)
            if written > at_most:
                raise too_long(at_most)
            out.write(block)


def too_long(at_most: int) -> FileRefused:
    """The refusal of content longer than `at_most` bytes."""
    return FileRefused(
        "unpacks_too_far",
        f"The file's content is longer than the {at_most} bytes that the mapping allows (max_unpacked_bytes)",
    )
