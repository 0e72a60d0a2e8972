"""Write Harbour Bank's monthly core-banking extracts, from April to September 2005.

    python tenants/samples/generate.py --out DIR [--months 2005-04 2005-05 …] [--rows N]

Each file `CORE_LOAN_YYYYMMDD.txt` is GB18030 text with `||` between columns: one line of Chinese headings, one
detail line per account, and a trailer `TRL||<count>||<total>`. The count is the number of detail lines, broken ones
included. The total is the sum of 当前余额, with two decimals, over the detail lines that have exactly fourteen columns:
a line with too few or too many has no balance that a reader could name, and 当前余额 itself is never broken.

`manifest.json` beside the files says of each one what was written and which lines were broken on purpose. Lines are
counted as an editor does: the headings are line 1. The same arguments write the same bytes on every machine, and
`--rows N` writes the first N customers of the full files.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

from breakages import REPEAT_DISTANCE, Breakage, plan_breakages
from layout import ACCOUNT, BALANCE, COLUMNS, DELIMITER, ENCODING, LINE_END, TRAILER_TAG
from people import SEED, Person, invent_person
from portfolio import (
    BUSINESS_DATES,
    Client,
    account_number,
    branch,
    customer_number,
    oldest_unpaid_due_date,
    overdue_amount,
    product,
    read_clients,
)

INSTITUTION = "Harbour Bank"
CURRENCY_CODE = "TWD"
MANIFEST_NAME = "manifest.json"
MONTHS = tuple(BUSINESS_DATES)

Plan = Mapping[tuple[str, int], Breakage]


class Row(NamedTuple):
    """One detail line before it is written, with the breakage that concerns it, if any."""

    columns: list[str]
    breakage: Breakage | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A detail line that is not clean: its number in the file, its account, and the kind of breakage."""

    line: int
    account_number: str
    reason_kind: str


class FileEntry(TypedDict):
    """What the manifest says of one file; `identical_to_previous` is None for the first month written."""

    name: str
    month: str
    business_date: str
    rows: int
    total: str
    identical_to_previous: int | None
    quarantined: list[dict[str, object]]
    dirty_but_valid: list[dict[str, object]]


class Manifest(TypedDict):
    institution: str
    seed: str
    customers: int
    files: list[FileEntry]


@dataclass(frozen=True, slots=True)
class Extract:
    """One month's file. `total` is in whole dollars and covers only lines with all columns."""

    month: str
    customers: int
    detail_lines: list[str]
    total: int
    quarantined: list[Finding]
    dirty_but_valid: list[Finding]

    @property
    def name(self) -> str:
        return f"CORE_LOAN_{BUSINESS_DATES[self.month]:%Y%m%d}.txt"

    def content(self) -> bytes:
        """Return the file's bytes: headings, details and trailer."""
        trailer = DELIMITER.join([TRAILER_TAG, str(len(self.detail_lines)), _amount(self.total)])
        lines = [DELIMITER.join(COLUMNS), *self.detail_lines, trailer]
        return (LINE_END.join(lines) + LINE_END).encode(ENCODING)

    def describe(self, previous: "Extract | None") -> FileEntry:
        """Return the file's entry in the manifest; `previous` is the month to count byte-identical lines against."""
        return {
            "name": self.name,
            "month": self.month,
            "business_date": BUSINESS_DATES[self.month].isoformat(),
            "rows": len(self.detail_lines),
            "total": _amount(self.total),
            "identical_to_previous": previous and len(set(self.detail_lines) & set(previous.detail_lines)),
            "quarantined": [asdict(finding) for finding in self.quarantined],
            "dirty_but_valid": [asdict(finding) for finding in self.dirty_but_valid],
        }


def build_extracts(months: Sequence[str] = MONTHS, rows: int | None = None) -> Iterator[Extract]:
    """Yield the extract of each month of `months`, over the first `rows` customers (all if None)."""
    clients = list(read_clients())
    plan = plan_breakages(clients)
    borrowers = [
        (client, invent_person(client.id, is_male=client.is_male, age=client.age, months=len(MONTHS)))
        for client in clients[:rows]
    ]
    for month in months:
        yield _build_extract(month, borrowers, plan)


def write_extracts(out: Path, months: Sequence[str] = MONTHS, rows: int | None = None) -> Manifest:
    """Write the extracts of `months` and their manifest into `out`, made if missing, and return the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(institution=INSTITUTION, seed=SEED, customers=0, files=[])
    previous = None
    for extract in build_extracts(months, rows):
        (out / extract.name).write_bytes(extract.content())
        manifest["files"].append(extract.describe(previous))
        manifest["customers"] = extract.customers
        previous = extract
    (out / MANIFEST_NAME).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _build_extract(month: str, borrowers: Sequence[tuple[Client, Person]], plan: Plan) -> Extract:
    lines: list[str] = []
    total = 0
    quarantined: list[Finding] = []
    dirty_but_valid: list[Finding] = []
    for number, row in enumerate(_rows(month, borrowers, plan), start=2):
        line = DELIMITER.join(row.columns)
        lines.append(line)
        if line.count(DELIMITER) == len(COLUMNS) - 1:
            total += _whole_dollars(row.columns[BALANCE])
        if row.breakage:
            found = quarantined if row.breakage.quarantined else dirty_but_valid
            found.append(Finding(number, row.columns[ACCOUNT], row.breakage.kind))
    return Extract(month, len(borrowers), lines, total, quarantined, dirty_but_valid)


def _rows(month: str, borrowers: Sequence[tuple[Client, Person]], plan: Plan) -> Iterator[Row]:
    """Yield a month's rows in the file's order, broken as planned.

    Both rows of a duplicated account count as broken, since nobody can tell which is right. A short extract that ends
    before the second row holds only a good first one.
    """
    repeats: dict[int, Row] = {}
    for place, (client, person) in enumerate(borrowers):
        columns = _columns(month, client, person)
        breakage = plan.get((month, place))
        if breakage is None:
            yield Row(columns, None)
        elif not breakage.repeats:
            yield Row(breakage.damage(columns), breakage)
        else:
            comes_again = place + REPEAT_DISTANCE
            repeats[comes_again] = Row(breakage.damage(columns), breakage)
            yield Row(columns, breakage if comes_again < len(borrowers) else None)
        if place in repeats:
            yield repeats.pop(place)


def _columns(month: str, client: Client, person: Person) -> list[str]:
    """Return a row's values in the order of `COLUMNS`.

    Nothing here may depend on the month but the statement and the phone: an account on which nothing moved must come
    out byte for byte as the month before.
    """
    statement = client.statements[month]
    due_date = oldest_unpaid_due_date(statement, BUSINESS_DATES[month])
    return [
        account_number(client.id),
        customer_number(client.id),
        person.name,
        person.resident_id,
        person.phones[MONTHS.index(month)],
        person.address,
        product(client.credit_limit),
        branch(client.id),
        CURRENCY_CODE,
        _amount(client.credit_limit),
        _amount(statement.balance),
        _amount(overdue_amount(statement)),
        f"{due_date:%Y%m%d}" if due_date else "",
        _amount(statement.paid),
    ]


def _amount(whole_dollars: int) -> str:
    return f"{whole_dollars}.00"


def _whole_dollars(amount: str) -> int:
    return int(amount.removesuffix(".00"))


def _customers(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} customers cannot be written; give 1 or more")
    return number


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Write {INSTITUTION}'s monthly core-banking extracts.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into, made if missing")
    parser.add_argument(
        "--months", nargs="+", choices=MONTHS, default=MONTHS, metavar="YYYY-MM", help="months to write (all six)"
    )
    parser.add_argument("--rows", type=_customers, metavar="N", help="write only the first N customers (all)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse_arguments(arguments)
    manifest = write_extracts(options.out, sorted(set(options.months)), options.rows)
    for file in manifest["files"]:
        print(
            f"{file['name']}  rows {file['rows']:>6}  total {file['total']:>16}  as the month before "
            f"{'-' if file['identical_to_previous'] is None else file['identical_to_previous']:>6}  "
            f"broken {len(file['quarantined']):>3}  repairable {len(file['dirty_but_valid'])}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
