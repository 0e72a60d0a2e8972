"""Structured logs and metrics. One line per decision, with ids only; never a personal field, a secret or a payload."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(service="duebridge", log_uncaught_exceptions=False)
metrics = Metrics(namespace="Duebridge", service="duebridge")


def count(name: str, value: float = 1) -> None:
    """Adds to a metric. It carries no tenant dimension: the number of tenants would multiply its cost."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
