"""How bytes are read as text: strictly, or not at all."""

from __future__ import annotations

import re

from chalicelib.connectors.forms.model import RecordEncoding, TextEncoding

_CODECS = {"big5": "cp950"}
"""What an encoding's name means where it is not Python's meaning: Big5 as written today has the characters that Windows
added to it, among them some of everyday surnames."""
_CONTROLS = re.compile(b"[\x80-\x9f]")


def codec_of(encoding: RecordEncoding) -> str:
    """The name by which Python knows an encoding."""
    return _CODECS.get(encoding, encoding)


def decoded(text: bytes, encoding: TextEncoding) -> str:
    """The text in bytes that end with a whole character; raises UnicodeDecodeError with the place at fault."""
    if encoding == "latin-1" and (control := _CONTROLS.search(text)):
        # Python would read controls that nobody types: in truth it is cp1252, or text of several bytes a character.
        raise UnicodeDecodeError(encoding, text, control.start(), control.end(), "has no characters at 80 to 9F")
    return text.decode(codec_of(encoding))


def encoded(text: str, encoding: TextEncoding) -> bytes:
    """The bytes of a text; raises UnicodeEncodeError for what the encoding does not have."""
    return text.encode(codec_of(encoding))
