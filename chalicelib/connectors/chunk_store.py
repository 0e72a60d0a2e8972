"""A run's delta in the object store: its chunks, its snapshot, and the manifest that says what the chunks must be.

Everything lies under `{tenant}/runs/{run}/` and under the tenant's key. The manifest is written last and its digest is
stored with the run, so a chunk that is read later is the chunk that was planned or none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chalicelib.platform.tenant import Tenant


@dataclass(frozen=True)
class StoredChunk:
    """One chunk, by its number from 1: how many rows it has and the SHA-256 of the object (gzipped JSON lines)."""

    number: int
    rows: int
    sha256: str


class ChunkDamaged(Exception):
    """An object is not what was planned. It is not applied; its message ends in the dead-letter queue."""


def store_chunk(tenant: Tenant, run_id: str, number: int, rows: int, path: Path) -> StoredChunk:
    """Uploads a chunk file. The same rows make the same object."""
    content = path.read_bytes()
    tenant.write_object(_chunk_key(tenant, run_id, number), content)
    return StoredChunk(number, rows, hashlib.sha256(content).hexdigest())


def load_chunk(tenant: Tenant, run_id: str, number: int, sha256: str) -> bytes:
    """The bytes of a chunk. Raises ChunkDamaged when they are not those that were planned."""
    return _get(tenant, _chunk_key(tenant, run_id, number), sha256)


def store_manifest(tenant: Tenant, run_id: str, chunks: Sequence[StoredChunk]) -> str:
    """Uploads the list of the run's chunks and returns its SHA-256."""
    content = json.dumps([asdict(chunk) for chunk in chunks], separators=(",", ":")).encode()
    tenant.write_object(_manifest_key(tenant, run_id), content)
    return hashlib.sha256(content).hexdigest()


def load_manifest(tenant: Tenant, run_id: str, sha256: str) -> list[StoredChunk]:
    """The run's chunks. Raises ChunkDamaged when the list is not the one that was planned."""
    return [StoredChunk(**chunk) for chunk in json.loads(_get(tenant, _manifest_key(tenant, run_id), sha256))]


def store_snapshot(tenant: Tenant, run_id: str, path: Path) -> str:
    """Uploads the snapshot (Parquet, at most 5 GB) and returns its key."""
    return _put_file(tenant, tenant.object_key("runs", run_id, "snapshot.parquet"), path)


def store_unsettled(tenant: Tenant, run_id: str, path: Path) -> str:
    """Uploads the keys that a run leaves unsettled (Parquet) and returns the object's key."""
    return _put_file(tenant, tenant.object_key("runs", run_id, "unsettled.parquet"), path)


def fetch_snapshot(tenant: Tenant, key: str, into: Path) -> None:
    """Downloads a snapshot, or unsettled keys, a block at a time."""
    body = tenant.s3.get_object(Bucket=tenant.bucket, Key=key)["Body"]
    with into.open("wb") as out:
        for block in body.iter_chunks(1 << 20):
            out.write(block)


def _put_file(tenant: Tenant, key: str, path: Path) -> str:
    with path.open("rb") as content:
        tenant.write_object(key, content)
    return key


def _get(tenant: Tenant, key: str, sha256: str) -> bytes:
    content = tenant.read_object(key)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ChunkDamaged(f"{key} is not what its run planned")
    return content


def _chunk_key(tenant: Tenant, run_id: str, number: int) -> str:
    return tenant.object_key("runs", run_id, "chunks", f"{number:06d}.jsonl.gz")


def _manifest_key(tenant: Tenant, run_id: str) -> str:
    return tenant.object_key("runs", run_id, "manifest.json")
