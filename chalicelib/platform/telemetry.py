"""Structured logs. One line per decision, with ids only; never a personal field, a secret or a payload."""

from __future__ import annotations

import traceback

from aws_lambda_powertools import Logger

logger = Logger(service="duebridge", log_uncaught_exceptions=False)


def log_failure(message: str, error: BaseException, **ids: object) -> None:
    """Logs that something failed: the ids given, the error's class and where it came from, and not its text, which may
    repeat what somebody else sent."""
    places = traceback.extract_tb(error.__traceback__)
    where = [f"{place.filename}:{place.lineno} {place.name}" for place in places]
    logger.error(message, extra={**ids, "error": type(error).__name__, "where": where})
