"""The same work in dlt, for `ingest.py`: the second file merged into a DuckDB that holds the first. Prints JSON.

    python tests/benchmarks/ingest_dlt.py rows|arrow FIRST SECOND

Run by a Python that has dlt[duckdb] and pyarrow; it uses nothing of Duebridge. Typed columns and the primary key are
given, so that dlt infers nothing; only the merge of the second file is measured.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any

MONEY = ("Credit Limit", "Balance", "Past Due Amount", "Last Paid Amount")
BATCH = 5_000


def amount(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def as_rows(path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as source:
        reader = csv.DictReader(source)
        while batch := list(islice(reader, BATCH)):
            for row in batch:
                for name in MONEY:
                    row[name] = amount(row[name])
                row["Oldest Due Date"] = row["Oldest Due Date"] or None
            yield batch


def as_tables(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = dict.fromkeys(MONEY, pa.decimal128(18, 2)) | {"Oldest Due Date": pa.date32()}
    texts = ("Account Number", "Customer ID", "Phone")
    options = arrow_csv.ConvertOptions(
        column_types=types | dict.fromkeys(texts, pa.string()), null_values=["", "n/a"], strings_can_be_null=True
    )
    with arrow_csv.open_csv(path, convert_options=options) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def main(mode: str, first: Path, second: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ingest-dlt-") as folder:
        os.environ.update(
            RUNTIME__DLTHUB_TELEMETRY="false",
            RUNTIME__LOG_LEVEL="CRITICAL",
            DLT_DATA_DIR=folder,
            DLT_PROJECT_DIR=folder,
        )
        import dlt

        pipeline = dlt.pipeline(
            "ingest",
            pipelines_dir=folder,
            destination=dlt.destinations.duckdb(str(Path(folder, "store.duckdb"))),
            dataset_name="loans",
        )
        read = as_rows if mode == "rows" else as_tables
        columns = {name: {"data_type": "decimal"} for name in MONEY} | {"Oldest Due Date": {"data_type": "date"}}

        def load(path: Path) -> None:
            source = dlt.resource(
                read(path),
                name="accounts",
                write_disposition="merge",
                primary_key="Account Number",
                columns=columns if mode == "rows" else None,
            )
            pipeline.run(source).raise_on_failed_jobs()

        load(first)
        started = time.process_time()
        load(second)
        seconds = time.process_time() - started
        with pipeline.sql_client() as client:
            rows = client.execute_sql("SELECT count(*) FROM accounts")[0][0]
    print(json.dumps({"rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
