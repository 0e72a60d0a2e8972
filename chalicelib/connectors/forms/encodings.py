"""How bytes are read as text: strictly, or not at all."""

from __future__ import annotations

import re

from chalicelib.connectors.forms.model import RecordEncoding, TextEncoding

_CODECS = {"big5": "cp950"}
"""What an encoding's name means where it is not Python's meaning: Big5 as written today has the characters that Windows
added to it, among them some of everyday surnames."""
SHIFT_OUT, SHIFT_IN = b"\x0e", b"\x0f"
"""In EBCDIC, what stands before and behind characters of two bytes."""
_CONTROLS = re.compile(b"[\x80-\x9f]")


def decoded(text: bytes, encoding: TextEncoding) -> str:
    """The text in bytes that end with a whole character; raises UnicodeDecodeError with the place at fault."""
    if encoding == "latin-1" and (control := _CONTROLS.search(text)):
        # Python would read controls that nobody types: in truth it is cp1252, or text of several bytes a character.
        raise UnicodeDecodeError(encoding, text, control.start(), control.end(), "has no characters at 80 to 9F")
    return text.decode(_CODECS.get(encoding, encoding))


def readable(text: bytes | bytearray, encoding: RecordEncoding) -> str:
    """The text in bytes, with U+FFFD for each place that cannot be read."""
    if encoding == "cp935":
        # Its tables are made where a file of its kind is read.
        from chalicelib.connectors.forms import ebcdic_chinese

        return ebcdic_chinese.decoded(bytes(text))
    return text.decode(_CODECS.get(encoding, encoding), "replace")


def encoded(text: str, encoding: RecordEncoding) -> bytes:
    """The bytes of a text; raises UnicodeEncodeError for what the encoding does not have."""
    if encoding == "cp935":
        from chalicelib.connectors.forms import ebcdic_chinese

        return ebcdic_chinese.encoded(text)
    return text.encode(_CODECS.get(encoding, encoding))
