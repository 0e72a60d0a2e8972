"""Duebridge: joins business systems to debt collection. One package per domain; see docs/architecture.md."""
