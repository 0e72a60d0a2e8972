"""Code page 935 is as the C library has it, byte for byte, and every character of it comes back."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.connectors.forms.ebcdic_chinese import decoded, encoded

EVERY_CHARACTER = [bytes((first, second)) for first in range(0x40, 0x80) for second in range(0x40, 0xFF)]


def as_the_c_library_has_it(content: bytes) -> list[str]:
    """The content's lines, without what has no meaning."""
    iconv = shutil.which("iconv")
    if iconv is None or "IBM935" not in subprocess.run([iconv, "-l"], capture_output=True, text=True).stdout:
        pytest.skip("this system's iconv does not have IBM935")
    command = [iconv, "-c", "-f", "IBM935", "-t", "UTF-16LE"]
    return subprocess.run(command, input=content, capture_output=True).stdout.decode("utf-16-le").split("\n")[:-1]


def test_every_character_of_two_bytes_is_the_one_that_the_c_library_reads():
    theirs = as_the_c_library_has_it(b"".join(b"\x0e" + pair + b"\x0f\x25" for pair in EVERY_CHARACTER))
    read = [decoded(b"\x0e" + pair + b"\x0f") for pair in EVERY_CHARACTER]
    ours = ["" if "\ufffd" in text else text for text in read]
    ours[0] = theirs[0] = "\u3000"  # the C library drops the wide blank
    assert (ours, sum(map(bool, ours))) == (theirs, 9356)


def test_every_character_of_one_byte_is_the_one_that_the_c_library_reads():
    singles = [bytes([byte]) for byte in range(256) if byte not in (0x0E, 0x0F, 0x25)]
    theirs = as_the_c_library_has_it(b"".join(single + b"\x25" for single in singles))
    assert [decoded(single).replace("\ufffd", "") for single in singles] == theirs
    assert decoded(b"\x25") == "\n"


def test_text_goes_both_ways_and_known_characters_have_their_known_bytes():
    assert encoded("张伟 A") == bytes.fromhex("0E 5B65 57AF 0F 40 C1")
    assert decoded(bytes.fromhex("C1 0E 48A0 0F 0E 0F 5B")) == "A啊¥"
    with pytest.raises(UnicodeEncodeError):
        encoded("𠮷")


@pytest.mark.parametrize(
    "content", ["0E", "0F", "0E48", "0E48A0", "0E48A00E", "0E48A0480F", "0E41400F", "FA", "0E00000F"]
)
def test_what_is_cut_or_has_no_meaning_is_unreadable(content):
    assert "\ufffd" in decoded(bytes.fromhex(content))


@given(st.lists(st.sampled_from(EVERY_CHARACTER) | st.binary(max_size=1)))
def test_whatever_can_be_read_is_written_as_it_is_read(pieces):
    text = decoded(b"".join(piece if len(piece) < 2 else b"\x0e" + piece + b"\x0f" for piece in pieces))
    known = text.replace("\ufffd", "")
    assert decoded(encoded(known)) == known


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded(content):
    assert len(decoded(content)) <= len(content)
