"""From a row to what is stored of it: ids computed from the business system's keys, personal fields sealed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.cases.model import ACCOUNT, BORROWER, Account, Borrower
from chalicelib.cases.position import AccountPosition
from chalicelib.cases.rows import Row, Source
from chalicelib.platform.sealing import Vault


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row with the ids of what it speaks of."""

    row: Row
    account_id: str
    borrower_id: str


def account_id_of(vault: Vault, connector_id: str, key: str) -> str:
    """The id of the account that a connector's business system calls `key`."""
    return vault.derived_id("acct", connector_id, key)


def borrower_id_of(vault: Vault, connector_id: str, key: str) -> str:
    """The id of the borrower that a connector's business system calls `key`."""
    return vault.derived_id("bor", connector_id, key)


def name_rows(vault: Vault, connector_id: str, rows: Iterable[Row]) -> list[NamedRow]:
    """The rows with their ids."""
    return [
        NamedRow(
            row,
            account_id_of(vault, connector_id, row.account.key),
            borrower_id_of(vault, connector_id, row.borrower.key),
        )
        for row in rows
    ]


def account_item(model: type[Account], vault: Vault, named: NamedRow, source: Source) -> Account:
    """The account's item, whole, as `model` bound to the tenant."""
    stated = named.row.account
    return model(
        named.account_id,
        ACCOUNT,
        borrower_id=named.borrower_id,
        connector_id=source.connector_id,
        run_id=source.run_id,
        as_of=source.business_date,
        reported=named.row.op != "removed",
        product=stated.product,
        branch=stated.branch,
        currency=stated.currency,
        credit_limit=stated.credit_limit,
        balance=stated.balance,
        overdue_amount=stated.overdue_amount,
        last_paid_amount=stated.last_paid_amount,
        oldest_due_date=stated.oldest_due_date,
        sealed=vault.seal({"key": stated.key, "number": stated.number}, bound_to=named.account_id),
    )


def borrower_item(model: type[Borrower], vault: Vault, named: NamedRow, source: Source) -> Borrower:
    """The borrower's item, whole, as `model` bound to the tenant: sealed once, with its blind indexes."""
    personal = named.row.borrower.model_dump()

    def index(field: str) -> str | None:
        value = personal[field]
        return vault.blind_index(field, value) if value else None

    return model(
        named.borrower_id,
        BORROWER,
        connector_id=source.connector_id,
        run_id=source.run_id,
        sealed=vault.seal(personal, bound_to=named.borrower_id),
        name_index=index("name"),
        phone_index=index("phone"),
        id_number_index=index("id_number"),
    )


def stated_position(named: NamedRow, source: Source) -> AccountPosition:
    """What the row states about the account's lateness."""
    stated = named.row.account
    return AccountPosition(
        account_id=named.account_id,
        product=stated.product or "",
        currency=stated.currency,
        overdue_amount=stated.overdue_amount or 0,
        oldest_due_date=stated.oldest_due_date,
        as_of=source.business_date,
        run_id=source.run_id,
        reported=named.row.op != "removed",
    )


def stored_position(account: Account) -> AccountPosition:
    """What the account's item says about its lateness."""
    return AccountPosition(
        account_id=account.pk,
        product=account.product or "",
        currency=account.currency,
        overdue_amount=account.overdue_amount or 0,
        oldest_due_date=account.oldest_due_date,
        as_of=account.as_of,
        run_id=account.run_id,
        reported=account.reported,
    )
