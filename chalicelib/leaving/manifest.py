"""The manifest of an export: what there is, how much of it, and the digests that tell whether it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from chalicelib.leaving.export_files import MANIFEST_NAME, NamedFile, object_key
from chalicelib.leaving.export_record import StoredFile
from chalicelib.leaving.kinds import EXPORTED_KINDS, columns_of
from chalicelib.leaving.model import ExportRecord
from chalicelib.platform.clock import rfc3339
from chalicelib.platform.tenant import Tenant

FORMAT = "duebridge-export/1"


def manifest_of(record: ExportRecord, tenant_name: str, files: Iterable[NamedFile], *, now: datetime) -> dict[str, Any]:
    """The manifest's document. `tables` says from when to when each was read: the tenant may have gone on working
    meanwhile, and what changed later is not in the export. `columns` are those of both formats; in Parquet, `json` is a
    text. `ledger` is the tree that the leaves' proofs lead to, over all leaves in the order of their ids."""
    return {
        "format": FORMAT,
        "export_id": record.id,
        "tenant": record.pk,
        "tenant_name": tenant_name,
        "made_at": rfc3339(now),
        "tables": record.tables,
        "counts": {kind: record.rows.get(kind, 0) for kind in EXPORTED_KINDS},
        "columns": {kind: dict(columns_of(kind)) for kind in EXPORTED_KINDS},
        "files": [_entry(each.name, each.file) for each in files],
        "ledger": record.ledger,
    }


def store_manifest(tenant: Tenant, export_id: str, part: int, document: dict[str, Any]) -> dict[str, Any]:
    """Writes the manifest under the part's number, and returns what the record keeps of it: `object_name`, `bytes` and
    `sha256`."""
    content = json.dumps(document, ensure_ascii=False, indent=1).encode()
    name = f"{part:08d}-{MANIFEST_NAME}"
    tenant.write_object(object_key(tenant, export_id, name), content)
    return {"object_name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _entry(name: str, file: StoredFile) -> dict[str, Any]:
    return {
        "name": name,
        "kind": file.kind,
        "format": file.format,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
