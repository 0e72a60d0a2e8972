"""EBCDIC with simplified Chinese in it (code page 935), which Python does not have.

Bytes are EBCDIC of one byte a character, up to a shift-out (0E); from there to the shift-in (0F) each character takes
two. Those of two bytes are symbols, the Chinese characters of GB 2312 in its own order, and users' own characters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from chalicelib.connectors.forms.encodings import SHIFT_IN, SHIFT_OUT

UNREADABLE = "\ufffd"
"""What bytes without a meaning are decoded to, as Python's own decoders do where they replace."""

_WIDE = re.compile(rb"\x0e((?:[\x40-\x7f][\x40-\xfd])*)\x0f")
"""Whole characters between shift-out and shift-in; what was cut, or stands between others, is not matched."""
_OTHER_SINGLES = {0x4A: "£", 0x5B: "¥", 0xA0: "~", 0xA1: "‾", 0xB2: "\\", 0xE0: "$"}
"""Where a single byte means another character than in code page 037."""
_SYMBOLS = {
    0x4141: "αβγδεζηθικλμνξοπρστυφχψω",
    0x4161: "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ",
    0x4180: "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    0x41B1: "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹ",
    0x41C0: "АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    0x41F1: "ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫ",
    0x424A: "￡．＜（＋｜＆",
    0x425A: "！￥＊）；￢－／",
    0x426A: "￤，％＿＞？",
    0x4279: "｀：＃＠＇＝＂",
    0x4281: "ａｂｃｄｅｆｇｈｉ",
    0x4291: "ｊｋｌｍｎｏｐｑｒ",
    0x42A1: "￣ｓｔｕｖｗｘｙｚ",
    0x42C0: "｛ＡＢＣＤＥＦＧＨＩ",
    0x42D0: "｝ＪＫＬＭＮＯＰＱＲ",
    0x42E0: "＄",
    0x42E2: "ＳＴＵＶＷＸＹＺ",
    0x42F0: "０１２３４５６７８９",
    0x4341: "。「」、・ヲァィゥ￠",
    0x4351: "ェォャュョッヮーヵヶ",
    0x4381: "アイウエオカキクケコ",
    0x438C: "サシスセソタチツテトナニヌネノ",
    0x439D: "ハヒフ",
    0x43A1: "～ヘホマミムメモヤユ",
    0x43AC: "ヨラリル",
    0x43BA: "レロワン゛゜ガギグゲゴザジズゼゾダヂヅデドバビブベボヴパピプペポヰヱヽヾ",
    0x43E0: "＼",
    0x4442: "『』［］をぁぃぅ―±≠∞℃",
    0x4450: "´ぇぉゃゅょっゎ",
    0x445A: "‐〃々〆〇¨‘“〔〈《【≤∴♂§※〒㈱№℡＾’”〕〉》】≥∵♀×÷‖〓‥…",
    0x4481: "あいうえおかきくけこ",
    0x448C: "さしすせそたちつてとなにぬねの",
    0x449D: "はひふ",
    0x44A2: "へほまみむめもやゆ",
    0x44AC: "よらりる",
    0x44BA: "れろわん",
    0x44C0: "がぎぐげござじずぜぞだぢづでどばびぶべぼ",
    0x44D5: "ぱぴぷぺぽゐゑゝゞ",
    0x44E0: "○●△▲◎☆★◇◆□■▽▼°′″→←↑↓",
    0x4545: "ˉˇ",
    0x455B: "〖〗",
    0x4562: "∶∧∨∑∏∪∩∈∷√⊥∥∠⌒⊙∫∮≡≌≈∽∝",
    0x4579: "≮≯",
    0x4588: "¤",
    0x458B: "‰",
    0x45B1: "⒈⒉⒊⒋⒌⒍⒎⒏⒐⒑⒒⒓⒔⒕⒖⒗⒘⒙⒚⒛⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽⑾⑿⒀⒁⒂⒃⒄⒅⒆⒇",
    0x45E1: "①②③④⑤⑥⑦⑧⑨⑩",
    0x45F1: "㈠㈡㈢㈣㈤㈥㈦㈧㈨㈩",
    0x4641: "āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜüê",
    0x4665: "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄓㄔㄕㄖㄗㄘㄙㄚㄛㄜㄝㄞㄟㄠㄡㄢㄣㄤㄥㄦㄧㄨㄩ",
    0x46A4: "─━│┃┄┅┆┇┈┉┊┋┌┍┎┏┐┑┒┓└┕┖┗┘┙┚┛├┝┞┟┠┡┢┣┤┥┦┧┨┩┪┫┬┭┮┯┰┱┲┳┴┵┶┷┸┹┺┻┼┽┾┿╀╁╂╃╄╅",
    0x46EA: "╆╇╈╉╊╋",
}
"""Runs of symbols, by the two bytes of the first."""


def decoded(text: bytes) -> str:
    """The text, with `UNREADABLE` for what has no meaning."""
    parts = _WIDE.split(text)
    # A table that is text is the quickest; the stubs know only of dictionaries.
    singles, _ = codecs.charmap_decode(b"".join(parts[::2]), "strict", _SINGLES)  # pyright: ignore[reportArgumentType]
    # The first byte of each character is below D8, so none is read as half of a pair.
    wides = b"".join(parts[1::2]).decode("utf-16-be").translate(_WIDES)
    return "".join(_woven(parts, singles, wides))


def encoded(text: str) -> bytes:
    """The bytes of a text, each run of wide characters shifted; raises UnicodeEncodeError for what the page lacks."""
    for at, character in enumerate(text):
        if character not in _TO_SINGLE and character not in _TO_WIDE:
            raise UnicodeEncodeError("cp935", text, at, at + 1, "is not in the code page")
    runs = re.split(f"([^{re.escape(''.join(_TO_SINGLE))}]+)", text)
    return b"".join(
        SHIFT_OUT + b"".join(map(_TO_WIDE.__getitem__, run)) + SHIFT_IN
        if at % 2
        else bytes(map(_TO_SINGLE.__getitem__, run))
        for at, run in enumerate(runs)
    )


def _woven(parts: list[bytes], singles: str, wides: str) -> Iterator[str]:
    """The text of the parts in their order, of which every second is wide."""
    single = wide = 0
    for at, part in enumerate(parts):
        if at % 2:
            yield wides[wide : wide + len(part) // 2]
            wide += len(part) // 2
        else:
            yield singles[single : single + len(part)]
            single += len(part)


class _Meanings(dict[int, str]):
    """A table for `str.translate` that knows what has no meaning."""

    def __missing__(self, code: int) -> str:
        return UNREADABLE


def _single_bytes() -> str:
    """The character of each of the 256 bytes."""
    meanings = dict.fromkeys(SHIFT_OUT + SHIFT_IN, UNREADABLE) | _OTHER_SINGLES
    for byte in set(range(256)) - meanings.keys():
        character = bytes([byte]).decode("cp037")
        is_shared = character < "\xa0" or character in "¬¦"
        meanings[byte] = character if is_shared and character not in _OTHER_SINGLES.values() else UNREADABLE
    return "".join(meanings[byte] for byte in range(256))


def _codes(first: int, last: int) -> Iterator[int]:
    """The two-byte codes from one to another: second bytes are 41 to 7F and 81 to FD."""
    for code in range(first, last + 1):
        if code & 0xFF in range(0x41, 0xFE) and code & 0xFF != 0x80:
            yield code


def _chinese(rows: range) -> Iterator[str]:
    """The characters of some rows of GB 2312."""
    for row in rows:
        for cell in range(1, 95):
            yield bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312", "ignore")


def _wide_characters() -> _Meanings:
    meanings = _Meanings({0x4040: "\u3000"})
    for first, symbols in _SYMBOLS.items():
        meanings.update(enumerate(symbols, first))
    meanings.update(zip(_codes(0x48A0, 0x5C9A), filter(None, _chinese(range(16, 56))), strict=True))
    meanings.update(zip(_codes(0x5CA0, 0x6C9F), filter(None, _chinese(range(56, 88))), strict=True))
    meanings.update(zip(_codes(0x7641, 0x7FFD), map(chr, range(0xE000, 0xE758)), strict=True))
    return meanings


_SINGLES, _WIDES = _single_bytes(), _wide_characters()
_TO_SINGLE = {character: byte for byte, character in enumerate(_SINGLES) if character != UNREADABLE}
_TO_WIDE = {character: code.to_bytes(2) for code, character in _WIDES.items()}
