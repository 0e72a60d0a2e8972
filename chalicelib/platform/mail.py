"""Mail to an institution's own people: letters from `tenants/mail`, sent by Amazon SES.

SES is the one thing here that is particular to a provider: a cell where there is none (China's partition) sends through
another in `send`, and nothing else changes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from string import Formatter

from botocore.exceptions import ClientError

from chalicelib.platform.aws import client
from chalicelib.platform.documents import path
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import log_failure

LANGUAGES = ("zh_CN", "en")

_REFUSALS = frozenset({"BadRequestException", "MessageRejected"})
"""What SES says of a letter or an address that it will never take, however often it is asked."""


@dataclass(frozen=True)
class Letter:
    """What is sent: a subject of one line and a plain text."""

    subject: str
    text: str


def letter(name: str, language: str, **values: str) -> Letter:
    """A letter of that name with its values filled in, in one of `LANGUAGES`.

    Raises KeyError for a letter, a language or a value that there is not: which these are is known when a test runs.
    """
    written = letters(language)[name]
    subject = written["subject"].format_map(values)
    # A name with a line break in it would begin a header of its own.
    return Letter(" ".join(subject.split()), written["text"].strip().format_map(values) + "\n")


@cache
def letters(language: str) -> dict[str, dict[str, str]]:
    """The letters of a language by name, each with `subject` and `text`."""
    if language not in LANGUAGES:
        raise KeyError(language)
    return tomllib.loads(path("mail", f"{language}.toml").read_text(encoding="utf-8"))


def names_in(text: str) -> set[str]:
    """The names of the values that a subject or text asks for."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def send_to_all(addresses: Iterable[str], written: Letter, **ids: object) -> None:
    """Sends a letter to several people. One address that SES refuses for good is logged, with the `ids` and without the
    address, and keeps nobody else's letter back. Raises like `send` for what may work when it is tried again."""
    for address in addresses:
        try:
            send(address, written.subject, written.text)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _REFUSALS:
                raise
            log_failure("letter refused", error, **ids)


def send(to: str, subject: str, text: str) -> None:
    """Sends a plain text. Raises botocore's ClientError when SES does not take it and BotoCoreError when it cannot be
    reached; the address is in no log of ours."""
    client("sesv2").send_email(
        FromEmailAddress=settings().mail_sender,
        Destination={"ToAddresses": [to]},
        Content={
            "Simple": {
                "Subject": {"Data": subject, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": text, "Charset": "UTF-8"}},
            }
        },
    )
