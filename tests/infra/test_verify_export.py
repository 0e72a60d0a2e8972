"""The check of an export needs nothing but its folder, and finds whatever is not as the manifest says."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chalicelib.leaving.export_files import MANIFEST_NAME, named
from chalicelib.leaving.export_record import StoredFile
from chalicelib.leaving.files import PartWriter
from chalicelib.leaving.kinds import columns_of
from chalicelib.leaving.manifest import manifest_of
from chalicelib.leaving.model import COMPLETED, EXPORT, ExportRecord
from chalicelib.ledger import Tree, entry_of, leaf_hash
from infra.verify_export import main, verify

Row = dict[str, Any]
NAME = "Wang Wei"
MOMENT = datetime(2005, 9, 30, tzinfo=UTC)


def borrower(number: int, **changes: Any) -> Row:
    return dict.fromkeys(columns_of("borrowers")) | {"id": f"bor_{number}", "name": NAME} | changes


def leaf(number: int, **changes: Any) -> Row:
    said = {"subject": f"case_{number}", "action": "case.opened", "digest": "d", "actor": "con_1", "at": "2005"}
    stated = leaf_hash(entry_of(**said)).hex()
    row = dict.fromkeys(columns_of("leaves")) | {"id": f"leaf_{number}", "leaf_hash": stated}
    return row | {**said, "leaf_index": number, **changes}


def proved(leaves: Sequence[Row]) -> list[Row]:
    tree = Tree(bytes.fromhex(row["leaf_hash"]) for row in leaves)
    return [row | {"proof": [step.hex() for step in tree.inclusion_proof(n)]} for n, row in enumerate(leaves)]


@dataclass
class Export:
    """An export as it is written, with what may be wrong in it: `twins` are the rows of Parquet where they differ from
    those of JSON Lines, `told` is what the manifest says in other words."""

    folder: Path
    borrowers: list[Row] = field(default_factory=lambda: [borrower(n) for n in range(3)])
    leaves: list[Row] = field(default_factory=lambda: proved([leaf(n) for n in range(5)]))
    twins: dict[str, list[Row]] = field(default_factory=dict)
    told: Row = field(default_factory=dict)

    def write(self) -> Export:
        tree = Tree(bytes.fromhex(row["leaf_hash"]) for row in proved([leaf(n) for n in range(5)]))
        rows = {"borrowers": self.borrowers, "leaves": self.leaves}
        files = [file for kind, lines in rows.items() for file in self._files(kind, lines)]
        record = ExportRecord(
            "ten_1",
            f"{EXPORT}exp_1",
            state=COMPLETED,
            rows={kind: len(lines) for kind, lines in rows.items()},
            tables={},
            ledger={"tree_size": tree.size, "root_hash": tree.root.hex()},
        )
        manifest = manifest_of(record, "Harbour Bank", named(files), now=MOMENT) | self.told
        (self.folder / MANIFEST_NAME).write_text(json.dumps(manifest))
        return self

    def _files(self, kind: str, lines: list[Row]) -> list[StoredFile]:
        stored: list[StoredFile] = []
        for format, rows in (("jsonl", lines), ("parquet", self.twins.get(kind, lines))):
            scratch = self.folder / f"of-{format}"
            scratch.mkdir(exist_ok=True)
            writer = PartWriter(scratch)
            for row in rows:
                writer.add(kind, row)
            [file] = [file for file in writer.finish() if file.format == format]
            file.path.rename(self.folder / f"{kind}-00000.{format}")
            stored.append(StoredFile(0, kind, format, file.rows, file.bytes, file.sha256))
        return stored


@pytest.fixture
def export(tmp_path) -> Export:
    return Export(tmp_path)


def differences(export: Export) -> list[str]:
    export.write()
    return verify(export.folder).differences


def test_a_sound_export_is_sound(export, capsys):
    export.write()
    assert main([str(export.folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["borrowers", "3", "rows", "2", "files", "sound"] for line in said)
    assert said[-1] == "the export is whole and sound"


def test_it_is_a_command_that_needs_no_cloud(export):
    export.write()
    (export.folder / "borrowers-00000.jsonl").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "infra.verify_export", str(export.folder)],
        cwd=Path(__file__).resolve().parents[2],
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "- borrowers-00000.jsonl has 0 bytes, not" in done.stdout
    assert done.stdout.splitlines()[-1] == "the export is NOT what its manifest says"


def test_a_changed_byte_is_found_by_the_digest(export):
    export.write()
    path = export.folder / "borrowers-00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Wang", b"Wong", 1))
    assert verify(export.folder).differences == [
        "borrowers-00000.jsonl has another digest than the manifest says",
        "borrowers-00000.jsonl: row 1 differs in name from borrowers-00000.parquet",
    ]


def test_a_missing_file_is_found(export):
    export.write()
    (export.folder / "leaves-00000.parquet").unlink()
    assert verify(export.folder).differences == [
        "leaves-00000.parquet is missing",
        "leaves-00000: there are not both formats",
    ]


def test_formats_that_disagree_are_found_by_row_and_column_and_never_by_value(export):
    export.twins["borrowers"] = [borrower(0), borrower(1, name="Li Na", phone="1"), borrower(2)]
    [difference] = differences(export)
    assert difference == "borrowers-00000.jsonl: row 2 differs in name, phone from borrowers-00000.parquet"


def test_rows_that_one_format_lacks_are_found(export):
    export.twins["borrowers"] = [borrower(0)]
    assert differences(export) == ["3 rows are counted, and the parquet files have 1"]


def test_rows_that_both_formats_lack_are_found_by_the_count(export):
    export.told["counts"] = {"borrowers": 4, "leaves": 5}
    assert differences(export) == [
        "4 rows are counted, and the jsonl files have 3",
        "4 rows are counted, and the parquet files have 3",
    ]


def test_files_that_have_other_rows_than_the_manifest_lists_are_found(export):
    export.write()
    manifest = json.loads((export.folder / MANIFEST_NAME).read_text())
    for file in manifest["files"]:
        if file["kind"] == "borrowers":
            file["rows"] = 2
    manifest["counts"]["borrowers"] = 2
    (export.folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    assert verify(export.folder).differences == [
        "borrowers-00000.jsonl has 3 rows, not 2",
        "borrowers-00000.parquet has 3 rows, not 2",
    ]


def test_a_leaf_that_was_rewritten_does_not_have_its_hash(export):
    export.leaves[2]["actor"] = "con_2"
    assert differences(export) == ["leaves-00000.jsonl: leaf 2 does not have the hash of its entry"]


def test_a_leaf_that_was_rewritten_with_its_hash_does_not_lead_to_the_root(export):
    forged = leaf(2, subject="case_9")
    said = {name: forged[name] for name in ("subject", "action", "digest", "actor", "at")}
    forged["leaf_hash"] = leaf_hash(entry_of(**said)).hex()
    export.leaves[2] = forged | {"proof": export.leaves[2]["proof"]}
    assert differences(export) == ["leaves-00000.jsonl: the proof of leaf 2 does not lead to the root"]


def test_a_leaf_that_was_taken_out_is_missed(export):
    del export.leaves[4]
    assert differences(export) == ["manifest.json: the tree has 5 leaves, and 4 are counted"]


def test_leaves_in_another_order_are_found(export):
    export.leaves[0], export.leaves[1] = export.leaves[1], export.leaves[0]
    assert differences(export) == [
        "leaves-00000.jsonl: where leaf 0 should be, there is another one",
        "leaves-00000.jsonl: where leaf 1 should be, there is another one",
    ]


def test_a_leaf_without_its_proof_is_found(export):
    export.leaves[3]["proof"] = None
    assert differences(export) == ["leaves-00000.jsonl: leaf 3 is not complete"]


def test_the_root_of_no_leaves_is_checked_too(export):
    export.leaves = []
    export.told |= {"counts": {"borrowers": 3, "leaves": 0}, "ledger": {"tree_size": 0, "root_hash": "00" * 32}}
    export._files = lambda kind, lines: Export._files(export, kind, lines) if lines else []
    assert differences(export) == ["manifest.json: the root is not that of a tree without leaves"]


def test_what_is_no_row_is_found(export):
    export.write()
    path = export.folder / "borrowers-00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n[]\n", 1))
    _make_digests_fit(export.folder, path)
    assert verify(export.folder).differences == ["borrowers-00000.jsonl: row 2 is not a JSON object"]


def test_what_is_no_parquet_is_found(export):
    export.write()
    path = export.folder / "borrowers-00000.parquet"
    path.write_bytes(b"PAR1")
    _make_digests_fit(export.folder, path)
    assert verify(export.folder).differences == ["borrowers-00000.parquet cannot be read with the manifest's columns"]


def test_other_columns_than_the_manifest_says_are_found(export):
    export.told["columns"] = {"borrowers": {"id": "text"}, "leaves": dict(columns_of("leaves"))}
    assert [text.partition(":")[2] for text in differences(export)] == [
        f" row {number} has other members than the manifest's columns" for number in (1, 2, 3)
    ]


def test_files_of_a_kind_that_is_not_counted_are_found(export):
    export.told["counts"] = {"leaves": 5}
    assert differences(export) == ["manifest.json: borrowers has files and no count"]


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"files": [], "counts": {}, "columns": {}, "ledger": null}']
)
def test_without_a_manifest_nothing_is_believed(tmp_path, content):
    if content is not None:
        (tmp_path / MANIFEST_NAME).write_text(content)
    assert verify(tmp_path).differences == ["manifest.json is missing, or is not the manifest of an export"]


def test_a_manifest_leads_nowhere_but_into_its_folder(export):
    export.told["files"] = [{"name": "../secret.jsonl", "kind": "borrowers", "format": "jsonl", "rows": 1}]
    assert differences(export) == ["manifest.json is missing, or is not the manifest of an export"]


def test_only_the_first_differences_are_told(export, capsys):
    export.borrowers = [borrower(n) for n in range(100)]
    export.twins["borrowers"] = [borrower(n, name="Li Na") for n in range(100)]
    export.write()
    assert main([str(export.folder)]) == 1
    said = capsys.readouterr().out
    assert said.count("\n- ") == 20
    assert NAME not in said


def test_it_is_told_how_it_is_used(capsys):
    assert main([]) == 2
    assert capsys.readouterr().out == "usage: python -m infra.verify_export FOLDER\n"


def _make_digests_fit(folder: Path, path: Path) -> None:
    """Lets the manifest say of a file that it is as it is."""
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    for file in manifest["files"]:
        if file["name"] == path.name:
            file |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "told",
    [
        {"counts": []},
        {"counts": {"borrowers": "many"}},
        {"columns": {"borrowers": "all"}},
        {"files": [{"name": "borrowers-00000.jsonl"}]},
        {"files": [{"name": "x", "kind": "borrowers", "format": "jsonl", "rows": "3", "bytes": 1, "sha256": ""}]},
    ],
)
def test_a_manifest_that_is_none_is_a_difference_and_no_crash(export, told):
    export.told |= told
    assert differences(export) == ["manifest.json is missing, or is not the manifest of an export"]
