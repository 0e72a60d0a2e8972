"""The time. Verbs take `now` as a value where it decides something; only the edges ask this module."""

from __future__ import annotations

from datetime import UTC, date, datetime


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC with milliseconds, such as `2005-09-30T16:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The aware moment that an RFC 3339 text names. Raises ValueError when it has no time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def days_between(earlier: date, later: date) -> int:
    """Whole days from `earlier` to `later`; due on the 15th of March is 17 days past due on the 1st of April."""
    return (later - earlier).days
