"""Putting a quarantined row right, or giving it up: each is proven by a leaf, and the row as delivered is kept.

A repair changes nothing but the text that a replay will map. It is answered with what the mapping in force makes of it.
While a replay of the run's rows is at work, neither is possible: the replay has read them already.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping as Table
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.connectors.connectors import connector_in_use, mapping_of
from chalicelib.connectors.layout import Layout, load_layout
from chalicelib.connectors.model import CONNECTORS, DISCARDED, REPAIRED, WAITING, Connector, QuarantinedRow, Run
from chalicelib.connectors.rejected import QuarantineEntry, bound_to, entry_of, find_row
from chalicelib.connectors.replay import check_applied
from chalicelib.connectors.turns import DIGEST
from chalicelib.ledger import leaf_put
from chalicelib.platform.commit import Check, Group, Update, Write, commit_one
from chalicelib.platform.errors import Conflict, Invalid
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MAX_CORRECTED_BYTES = 64 * 1024
"""How long a corrected text may be, in UTF-8."""


@dataclass(frozen=True)
class Correction:
    """What a row is corrected to: other `values` under some headings, or another `text` for the whole row."""

    values: Table[str, str] | None = None
    text: str | None = None


def repair(
    tenant: Tenant,
    connector_id: str,
    run_id: str,
    line: str,
    correction: Correction,
    *,
    by: str,
    now: datetime,
    expected: int | None = None,
) -> QuarantineEntry:
    """Keeps a corrected text of a row beside the one delivered, and says what the mapping in force makes of it: the
    reasons of the answer are those that still stand. Values count for the text as it was corrected last.

    Raises NotFound and Gone; Invalid for a correction that the row cannot hold; FileRefused and MappingInvalid where
    the mapping in force cannot read the file's rows at all; Conflict for a row that is settled or of a run that is not
    applied, while its run's rows are replayed, and where `expected` or a moment's version is not in force any more.
    """
    connector = connector_in_use(tenant, connector_id)
    run, stored = find_row(tenant, connector_id, run_id, line)
    entry = _open(tenant, run, stored, expected, now)
    layout = load_layout(tenant, run.id)
    mapping = mapping_of(connector)
    text = _corrected(entry, layout.by(mapping), correction)
    reasons = _judged(entry.line, text, layout, connector, run)
    model = type(stored)
    place = bound_to(run.id, entry.line)
    actions: list[Action] = [
        model.status.set(REPAIRED),
        model.corrected.set(tenant.vault.seal({"corrected": text}, bound_to=place)),
        model.reasons.set(reasons),
        model.mapping_version.set(connector.mapping_version),
    ]
    if stored.first_reasons is None:
        actions.append(model.first_reasons.set(stored.reasons))
    content = {"from": _digest(tenant, entry.text or entry.raw), "to": _digest(tenant, text), "reasons": reasons}
    _commit(tenant, connector, stored, actions, "repaired", content, [], by=by, now=now)
    return entry_of(tenant.vault, find_row(tenant, connector_id, run_id, line)[1], now)


def discard(
    tenant: Tenant,
    connector_id: str,
    run_id: str,
    line: str,
    note: str,
    *,
    by: str,
    now: datetime,
    expected: int | None = None,
) -> QuarantineEntry:
    """Gives a row up for good, with a note that says why. A row that is discarded already is answered as it is.

    Raises NotFound, and Conflict as `repair` does.
    """
    connector = connector_in_use(tenant, connector_id)
    run, stored = find_row(tenant, connector_id, run_id, line)
    entry = entry_of(tenant.vault, stored, now)
    if entry.status == DISCARDED:
        return entry
    entry = _open(tenant, run, stored, expected, now)
    model, runs = type(stored), tenant.bind(Run)
    actions: list[Action] = [
        model.status.set(DISCARDED),
        model.note.set(tenant.vault.seal({"note": note}, bound_to=bound_to(run.id, entry.line))),
    ]
    content = {"text": _digest(tenant, entry.text or entry.raw), "note": note}
    counted = Update(runs, run.pk, run.sk, [runs.rows_discarded.add(1)])
    _commit(tenant, connector, stored, actions, "discarded", content, [counted], by=by, now=now)
    return entry_of(tenant.vault, find_row(tenant, connector_id, run_id, line)[1], now)


def _open(tenant: Tenant, run: Run, stored: QuarantinedRow, expected: int | None, now: datetime) -> QuarantineEntry:
    check_applied(run)
    entry = entry_of(tenant.vault, stored, now)
    if not entry.is_open:
        raise Conflict(f"the row is {entry.status}", status_of_row=entry.status)
    if expected not in (None, entry.version):
        raise Conflict(f"version {entry.version} of the row is in force, not {expected}", current_version=entry.version)
    return entry


def _corrected(entry: QuarantineEntry, layout: Layout, correction: Correction) -> str:
    if correction.text is not None:
        text = correction.text.replace("\r\n", "\n")
        layout.check_text(text)
    else:
        if entry.text is None:
            raise Invalid(
                f"only the beginning of the row's {entry.raw_bytes} bytes is kept: send its whole text",
                pointer="/values",
            )
        text = layout.with_values(entry.text, correction.values or {})
    if len(text.encode()) > MAX_CORRECTED_BYTES:
        raise Invalid(f"the row is longer than the {MAX_CORRECTED_BYTES} bytes that are kept of a corrected one")
    return text


def _judged(line: int, text: str, layout: Layout, connector: Connector, run: Run) -> list[dict[str, str]]:
    # DuckDB makes a cold start slow; only who repairs a row needs it.
    from chalicelib.connectors.remapped import OfferedRow, reasons_against

    assert run.business_date is not None, "a run without a business date is not completed"
    with tempfile.TemporaryDirectory(prefix="repair-") as folder:
        row = OfferedRow(line, text)
        return reasons_against(row, layout, mapping_of(connector), run.business_date, Path(folder))


def _commit(
    tenant: Tenant,
    connector: Connector,
    stored: QuarantinedRow,
    actions: list[Action],
    what: str,
    content: dict[str, Any],
    further: list[Write],
    *,
    by: str,
    now: datetime,
) -> None:
    """Changes the row, and proves who did it, in one transaction. Raises Conflict."""
    model, connectors = type(stored), type(connector)
    who: list[Action] = [model.changed_by.set(by), model.changed_at.set(now), model.version.add(1)]
    as_it_was = model.version == stored.version
    if stored.status == WAITING:
        # Rows that an older version stored have neither status nor version.
        as_it_was = as_it_was | (model.pk.exists() & model.version.does_not_exist())
    not_replaying = connectors.replaying.does_not_exist() | (connectors.replaying != stored.pk)
    writes: list[Write] = [
        Update(model, stored.pk, stored.sk, [*actions, *who], as_it_was),
        Check(connectors, CONNECTORS, connector.sk, not_replaying),
        leaf_put(
            tenant,
            subject=stored.pk,
            action=f"quarantine.{what}",
            content={"connector_id": connector.sk, "run_id": stored.pk, "line": stored.line, **content},
            actor=by,
            now=now,
        ),
        *further,
    ]
    if not commit_one(tenant.store, Group(what, writes)):
        raise Conflict("the row changed meanwhile, or a replay of its run's rows is at work; read it again")
    logger.info(
        "a quarantined row is changed",
        extra={"tenant_id": tenant.id, "connector_id": connector.sk, "run_id": stored.pk, "what": what},
    )


def _digest(tenant: Tenant, text: str) -> str:
    return tenant.vault.digest(DIGEST, text.encode())
