"""What people type about themselves and their institution: names that are only ever shown, and e-mail addresses."""

from __future__ import annotations

import re
import unicodedata

MAX_EMAIL = 254
"""The longest address that mail can be sent to (RFC 5321)."""

_MAX_LOCAL_PART = 64
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)
_DIRECTION_CHARACTERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible_name(text: str) -> str:
    """The name in its composed form. Raises ValueError for one that nobody can see, that reads as another, or that is a
    link: names stand in letters of ours to people who were only invited, and mail programs make links of them."""
    categories = [unicodedata.category(character) for character in text]
    # Direction overrides make a name read as another one; the joiners of emoji and scripts are left alone.
    if {"Cc", "Cs", "Zl", "Zp"} & set(categories) or _DIRECTION_CHARACTERS & set(text):
        raise ValueError("control characters, line breaks and direction overrides are not accepted")
    if all(category[0] in "CZ" for category in categories):
        raise ValueError("at least one visible character is needed")
    if _LINK.search(unicodedata.normalize("NFKC", text)):
        raise ValueError("an address of a web page (:// or www.) is not accepted in a name")
    return unicodedata.normalize("NFC", text)


def email(text: str) -> str:
    """The address, as it stands. Raises ValueError for what is none."""
    local, _, _ = text.partition("@")
    if len(text) > MAX_EMAIL or len(local) > _MAX_LOCAL_PART or _EMAIL.fullmatch(text) is None:
        raise ValueError("an address such as name@example.com is accepted, in ASCII (a domain as punycode)")
    return text
