"""Containers as business systems write them, and as nobody honest does, for tests."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def packed(content: bytes, container: str) -> bytes:
    """The content in a container, the same bytes for the same content."""
    match container:
        case "gzip":
            return gzip.compress(content, mtime=0)
        case "zip":
            return zipped({"content.txt": content})
        case "zip in zip":
            return zipped({"content.zip": zipped({"content.txt": content})})
        case _:
            return content
