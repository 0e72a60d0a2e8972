"""What a file is packed in, opened as a stream: gzip, zip, and a zip in a zip.

A container says itself how far it unpacks, and may lie. So what comes out is counted while it is read, nothing is
written under a name that stands in an archive, and of an archive no more is held than its bounded list of members.
"""

from __future__ import annotations

import errno
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from chalicelib.connectors.errors import FileRefused
from chalicelib.connectors.forms.delivered import BLOCK, Readable, spool, too_long
from chalicelib.connectors.forms.model import FormDocument

MAX_RATIO = 250
"""How many times as long as what was read the unpacked content may be. Deflate gets to 1,030; extracts of loans, wide
and padded as they are, stay below 100."""
RATIO_COUNTS_FROM = 8 << 20
"""Unpacked bytes from which the ratio counts: a short file may be all blanks."""
MAX_MEMBERS = 1_000
MAX_LIST_BYTES = 1 << 20
"""How long an archive's list of members may be; it is held in memory."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED, _NAME_IS_UTF8 = 0x1, 0x800
_GZIP = 16 + zlib.MAX_WBITS
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, OverflowError)
"""What reading an archive raises where its bytes do not belong together."""


@contextmanager
def opened(source: Readable, form: FormDocument, work: Path) -> Generator[Readable]:
    """The content of `source` as a stream that can be read once, from its start. What has to be put down meanwhile lies
    in the folder `work` and is gone afterwards.

    Raises `FileRefused`, also while the stream is read.
    """
    with ExitStack() as stack:
        match form.container:
            case "none":
                yield source
            case "gzip":
                yield _Gunzipped(source, form.max_unpacked_bytes)
            case "zip":
                yield _unzipped(source, form, work, stack)


class _Unpacked:
    """What came out of a container, held against what went in."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self.bytes = 0

    def checked(self, content: bytes, packed: int) -> bytes:
        """The content, where so much may come of `packed` bytes."""
        self.bytes += len(content)
        if self.bytes > self._at_most:
            raise too_long(self._at_most)
        if self.bytes > max(RATIO_COUNTS_FROM, packed * MAX_RATIO):
            raise FileRefused(
                "unpacks_too_far",
                f"The file unpacks to more than {MAX_RATIO} times its length: no extract does, a zip bomb would",
            )
        return content


class _Gunzipped:
    """The content of a gzip file, which may have several members one behind the other."""

    def __init__(self, source: Readable, at_most: int) -> None:
        self._source = source
        self._taken = 0  # bytes of the source
        self._packed = b""  # of those, what is not unpacked yet
        self._member = zlib.decompressobj(_GZIP)
        self._unpacked = _Unpacked(at_most)

    def read(self, size: int = -1, /) -> bytes:
        most = size if size >= 0 else BLOCK
        while True:
            if self._member.eof and not self._begin_next_member():
                return b""
            if content := self._unpack(most):
                return self._unpacked.checked(content, self._taken)
            if not self._member.eof and not self._take():
                raise FileRefused("damaged_container", "The gzip file ends before its content does: it was cut short")

    def _unpack(self, most: int) -> bytes:
        try:
            content = self._member.decompress(self._packed, most)
        except zlib.error as error:
            if "incorrect header" in str(error) and not self._unpacked.bytes:
                raise FileRefused("wrong_container", "The file is not gzip, as the mapping says it is") from None
            raise FileRefused(
                "damaged_container", "The gzip file is damaged: what it holds does not agree with its checksum"
            ) from None
        self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return content

    def _begin_next_member(self) -> bool:
        """False at the end of the file, which may be filled up with zeros."""
        while not (rest := self._packed.lstrip(b"\0")):
            if not self._take():
                return False
        self._packed, self._member = rest, zlib.decompressobj(_GZIP)
        return True

    def _take(self) -> bool:
        self._packed = self._source.read(BLOCK)
        self._taken += len(self._packed)
        return bool(self._packed)


_DAMAGED = ("damaged_container", "The zip is damaged: what it holds does not agree with its checksum")


class Member:
    """The content of one file in an archive, of at most `at_most` bytes. Reading raises `FileRefused`."""

    def __init__(self, archive: zipfile.ZipFile, listed: zipfile.ZipInfo, at_most: int) -> None:
        self._listed = listed
        self._unpacked = _Unpacked(at_most)
        with _broken_is_refused(*_DAMAGED):
            self._stream = archive.open(listed)

    def read(self, size: int = -1, /) -> bytes:
        with _broken_is_refused(*_DAMAGED):
            content = self._stream.read(size if size >= 0 else BLOCK)
        return self._unpacked.checked(content, self._listed.compress_size)


class _ArchiveFile(io.FileIO):
    """A zip on disk; its list of members is asked for in one piece, which must not be long."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LIST_BYTES:
            raise _too_many_members()
        return super().read(size)


def _unzipped(source: Readable, form: FormDocument, work: Path, stack: ExitStack) -> Member:
    outer_pattern, _, pattern = (form.member or "").rpartition("/")
    archive = _archive(source, work / "packed.zip", form.max_unpacked_bytes, stack)
    files = files_in(archive)
    holds_one_archive = len(files) == 1 and _is_archive(files[0])
    chosen = _pick(files, outer_pattern or ("" if holds_one_archive else pattern))
    member = Member(archive, chosen, form.max_unpacked_bytes)
    if not _is_archive(chosen):
        return member
    inner = _archive(member, work / "packed-inside.zip", form.max_unpacked_bytes, stack)
    chosen = _pick(files_in(inner), pattern)
    if _is_archive(chosen):
        raise FileRefused("nested_container", "The file is a zip in a zip in a zip; one in another is opened, no more")
    return Member(inner, chosen, form.max_unpacked_bytes)


def _archive(source: Readable, path: Path, at_most: int, stack: ExitStack) -> zipfile.ZipFile:
    """The archive, put down at `path` until the stack ends: the list of its members stands at its end."""
    stack.callback(path.unlink, missing_ok=True)
    spool(source, path, at_most)
    return archive_at(path, stack)


def archive_at(path: Path, stack: ExitStack) -> zipfile.ZipFile:
    """The archive in a file, open until the stack ends. Raises `FileRefused` where it is none."""
    file = stack.enter_context(_ArchiveFile(path))
    with _broken_is_refused("wrong_container", "The file is not a zip, as the mapping says it is, or was cut short"):
        return stack.enter_context(zipfile.ZipFile(file))


def files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in an archive, less those that a Mac adds of its own. Raises `FileRefused` where there are too many."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise _too_many_members()
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name):
            raise FileRefused("unsafe_member", "The zip holds a file whose name leads out of it, as no honest one does")
    return [m for m in members if not m.filename.endswith("/") and not m.filename.startswith("__MACOSX/")]


def _pick(files: list[zipfile.ZipInfo], pattern: str) -> zipfile.ZipInfo:
    """The one file whose name the pattern matches (the empty one: any), if it can be read."""
    matching = [file for file in files if not pattern or any(fnmatchcase(name, pattern) for name in _names(file))]
    if len(matching) != 1:
        wanted = f"{len(matching)} match {pattern!r}" if pattern else "one is expected where the mapping has no member"
        # The names are not repeated: where each account has a file of its own, they are account numbers.
        raise FileRefused(
            "ambiguous_member",
            f"The zip holds {len(files)} files, and {wanted}; exactly one must",
            files=len(files),
            matching=len(matching),
        )
    [file] = matching
    if file.flag_bits & _ENCRYPTED:
        raise FileRefused("unreadable_member", "The file in the zip is encrypted with a password")
    if file.compress_type not in _METHODS:
        raise FileRefused(
            "unreadable_member",
            f"The file in the zip is compressed by method {file.compress_type}; accepted are deflate (8) and none (0)",
        )
    return file


def _names(file: zipfile.ZipInfo) -> Iterator[str]:
    """What a file may be called, without folders: a zip made on a Chinese Windows has names in GBK, unsaid."""
    readings = [file.filename]
    if not file.flag_bits & _NAME_IS_UTF8:
        readings.append(file.filename.encode("cp437", "replace").decode("gb18030", "replace"))
    for name in readings:
        yield re.split(r"[/\\]", name)[-1]


def _is_archive(file: zipfile.ZipInfo) -> bool:
    # By its name, since a workbook (xlsx) is a zip too.
    return file.filename.lower().endswith(".zip")


@contextmanager
def _broken_is_refused(code: str, sentence: str) -> Generator[None]:
    try:
        yield
    except (*_BROKEN, OSError) as error:
        # A damaged list of members names places before the file's beginning, where no disk can go.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise FileRefused(code, sentence) from None


def _too_many_members() -> FileRefused:
    return FileRefused("too_many_members", f"The zip holds more than {MAX_MEMBERS} files, or names without end")
