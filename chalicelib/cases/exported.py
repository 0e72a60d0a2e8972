"""How accounts, borrowers, their cases and what happened to them stand in an export: personal fields are opened, and
their blind indexes, which say nothing more, are left out."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.cases.model import (
    ACCOUNT,
    BORROWER,
    CASE,
    REPAYMENT,
    RULES,
    STANDING,
    WORKLOAD,
    Account,
    BookedRepayment,
    Borrower,
    Case,
    RuleDocument,
    Standing,
    Workload,
)
from chalicelib.platform.exports import ExportedKind, after, an_id, begins, fixed
from chalicelib.platform.sealing import Vault

_SEALED = frozenset({"sealed"})
_BLIND_INDEXES = frozenset({"name_index", "phone_index", "id_number_index"})


def _opened(vault: Vault, stored: Account | Borrower) -> Mapping[str, str]:
    return vault.open(stored.sealed, bound_to=stored.pk)


EXPORTED = (
    ExportedKind(
        "accounts",
        Account,
        pk=an_id("acct"),
        sk=fixed(ACCOUNT),
        hidden=_SEALED,
        personal=("key", "number"),
        opens=_opened,
    ),
    ExportedKind(
        "borrowers",
        Borrower,
        pk=an_id("bor"),
        sk=fixed(BORROWER),
        hidden=_SEALED | _BLIND_INDEXES,
        personal=("key", "name", "id_number", "phone", "address"),
        opens=_opened,
    ),
    ExportedKind("repayments", BookedRepayment, pk=an_id("acct", "account_id"), sk=begins(f"{REPAYMENT}#")),
    ExportedKind("standings", Standing, pk=an_id("bor", "borrower_id"), sk=fixed(STANDING)),
    ExportedKind("cases", Case, pk=an_id("case"), sk=fixed(CASE)),
    ExportedKind("workloads", Workload, pk=fixed(WORKLOAD), sk=after("", "collector")),
    # The current version stands twice: under its number, and under the bare name of its kind as the one in force.
    ExportedKind("rules", RuleDocument, pk=fixed(RULES), sk=after("", "id")),
)
