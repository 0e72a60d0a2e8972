"""Structured logs. One line per decision, with ids only; never a personal field, a secret or a payload."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="duebridge", log_uncaught_exceptions=False)
