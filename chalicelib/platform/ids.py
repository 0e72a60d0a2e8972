"""Identifiers: a type prefix and 26 characters of Crockford base 32.

Most are ULIDs, so they sort by the time they were made. Things that come from a business system get an id computed
from the system's own key (see `Vault.derived_id`), so that the same row always names the same thing without a look-up.
"""

from __future__ import annotations

import re
from datetime import datetime

from ulid import ULID

_FORM = re.compile(r"^[a-z]{2,5}_[0-7][0-9A-HJKMNP-TV-Z]{25}$")


def new_id(prefix: str, *, at: datetime | None = None) -> str:
    """A fresh id such as `case_01J…`; `at` sets its time part (aware datetime), by default now."""
    return f"{prefix}_{ULID() if at is None else ULID.from_datetime(at)}"


def id_from_digest(prefix: str, digest: bytes) -> str:
    """The id that the first 128 bits of a keyed digest name."""
    return f"{prefix}_{ULID.from_bytes(digest[:16])}"


def is_id(prefix: str, value: str) -> bool:
    """Whether `value` has the form of an id of that prefix (it may still name nothing)."""
    return value.startswith(f"{prefix}_") and _FORM.match(value) is not None
