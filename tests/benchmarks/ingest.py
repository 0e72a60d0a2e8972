"""How fast a nightly file becomes a delta, against dlt and csv.DictReader on the same file in the same run.

    python tests/benchmarks/ingest.py [--rows 1000000] [--python-dlt PYTHON] [--dlt-rows 20000]

Two files a day apart, two per cent of the rows changed, 12 columns: once as GB18030 with `||` and a trailer, once as
UTF-8 with commas (the shipped presets less two columns). Ours is everything from the bytes to the delta and the next
snapshot (`read_text`, `stage`, `compute`). "day" is a file of which the last snapshot is known, "first" one of which
nothing is: every line is parsed, mapped and validated, and every full record written. dlt merges the second file into
a DuckDB that holds the first: rows as dictionaries (fewer of them, compared by rates), and Arrow tables. Every
measurement is a process of its own, held to one core, and counts processor time.

Budgets: day >= 500,000 rows/s in at most 512 MiB; >= 50 times dlt's rows, >= 2 times its Arrow mode. The last line is
one JSON object; the exit status is 1 if a budget is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUDGETS = {"rows_per_second": 500_000, "megabytes": 512, "times_dlt_rows": 50, "times_dlt_arrow": 2}
PRESETS = {"gb18030": "cn-core-banking-delimited", "csv": "generic-loan-servicing-csv"}
HEADINGS = {
    "gb18030": "账号||客户号||客户姓名||手机号码||联系地址||产品代码||币种||"
    "授信额度||当前余额||逾期金额||最早逾期日||上期还款额",
    "csv": "Account Number,Customer ID,Customer Name,Phone,Address,Product,Currency,"
    "Credit Limit,Balance,Past Due Amount,Oldest Due Date,Last Paid Amount",
}
LEFT_OUT = ("account.branch", "borrower.id_number")
DAYS = (date(2005, 8, 31), date(2005, 9, 30))
CHANGED_OF_100 = 2
BROKEN_OF = 10_000
"""One row in so many has an overdue amount that is none, as real files do."""


def records(rows: int, day: int) -> Iterator[list[str]]:
    """The values of each row on the first (0) or the second (1) day; dates as YYYYMMDD."""
    for n in range(rows):
        changed = day == 1 and n * 37 % 100 < CHANGED_OF_100
        balance = n * 7919 % 5_000_000 + changed
        is_late = n % 20 == 0
        yield [
            f"62{n:014d}",
            f"C{n:08d}",
            "王李张刘陈杨黄赵周吴"[n % 10] + "伟芳娜敏静磊军洋勇艳"[n // 10 % 10] + "杰涛明超"[n // 100 % 4],
            f"13{n % 10**9:09d}",
            f"北京市朝阳区建国路{n % 999}号",
            ("CC-STD", "CC-GOLD", "PL-01")[n % 3],
            "CNY",
            f"{n % 500 * 1000}.00",
            f"{balance // 100}.{balance % 100:02d}",
            "n/a" if n % BROKEN_OF == 1 else f"{n % 9999 + 1}.00" if is_late else "0.00",
            f"2005{1 + n % 7:02d}{1 + n % 28:02d}" if is_late else "",
            f"{n % 3000}.00",
        ]


def write_files(folder: Path, rows: int) -> None:
    """Both days in both forms."""
    for day in (0, 1):
        with (
            (folder / f"gb18030-{day}").open("w", encoding="gb18030") as banking,
            (folder / f"csv-{day}").open("w", encoding="utf-8") as plain,
        ):
            banking.write(HEADINGS["gb18030"] + "\n")
            plain.write(HEADINGS["csv"] + "\n")
            total = Decimal(0)
            for values in records(rows, day):
                total += Decimal(values[8])
                banking.write("||".join(values) + "\n")
                due = values[10]
                values[10] = f"{due[:4]}-{due[4:6]}-{due[6:]}" if due else ""
                plain.write(",".join(values) + "\n")
            banking.write(f"TRL||{rows}||{total}\n")


def measure_ours(folder: Path, form: str) -> dict[str, Any]:
    """Both days, one after the other: processor seconds of each and of their steps, and the peak of memory."""
    sys.path.insert(0, str(ROOT))
    from chalicelib.connectors import delta, staging
    from chalicelib.connectors.formats import read_text
    from chalicelib.connectors.mapping import load_preset

    preset = load_preset(PRESETS[form])
    mapping = preset.model_copy(update={"fields": [item for item in preset.fields if item.target not in LEFT_OUT]})
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder) as work, staging.connect(Path(work)) as con:
        previous = None
        for day, name in enumerate(("first", "day")):
            out = Path(work, name)
            out.mkdir()
            marks = [time.process_time()]
            with (folder / f"{form}-{day}").open("rb") as source:
                text = read_text(source, out / "rows.txt", mapping.format, columns=mapping.headings(required=True))
            marks.append(time.process_time())
            staged = staging.stage(con, text, mapping, out, DAYS[day], previous)
            marks.append(time.process_time())
            found = delta.compute(con, staged, out)
            marks.append(time.process_time())
            previous = found.snapshot
            steps = [after - before for before, after in pairwise(marks)]
            result[name] = dict(zip(("read", "stage", "delta"), steps, strict=True)) | {"rows": staged.rows}
            result[f"{name}_counts"] = [found.new, found.changed, found.unchanged, found.quarantined, found.carried]
    return result | {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure_reader(folder: Path) -> dict[str, Any]:
    """csv.DictReader over the second day, doing nothing with its rows: a floor for any work row by row in Python."""
    started = time.process_time()
    with (folder / "csv-1").open(encoding="utf-8", newline="") as source:
        rows = sum(1 for _ in csv.DictReader(source))
    return {"rows": rows, "seconds": time.process_time() - started}


def in_a_process(*command: str) -> dict[str, Any]:
    """Run a measurement on one core; the last line that it prints is its result."""
    one_core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {one_core})
    )
    return json.loads(done.stdout.splitlines()[-1])


def head(path: Path, rows: int) -> Path:
    """The first rows of a file, beside it."""
    shorter = path.with_name(f"{path.name}-{rows}")
    with path.open(encoding="utf-8") as source, shorter.open("w", encoding="utf-8") as out:
        for _, line in zip(range(rows + 1), source, strict=False):
            out.write(line)
    return shorter


def rate(measured: dict[str, Any]) -> float:
    seconds = measured.get("seconds") or measured["read"] + measured["stage"] + measured["delta"]
    return measured["rows"] / seconds


def compare(folder: Path, rows: int, python_dlt: Path | None, dlt_rows: int) -> dict[str, Any]:
    write_files(folder, rows)
    result: dict[str, Any] = {"rows": rows}
    for form in PRESETS:
        ours = in_a_process(sys.executable, __file__, "--measure", form, "--folder", str(folder))
        for name in ("first", "day"):
            steps = "  ".join(f"{step} {ours[name][step]:6.2f} s" for step in ("read", "stage", "delta"))
            print(f"{form:8} {name:6} {rate(ours[name]):>11,.0f} rows/s   {steps}   counts {ours[f'{name}_counts']}")
            result[f"{form}_{name}_rows_per_second"] = round(rate(ours[name]))
        print(f"{form:8} at most {ours['megabytes']:,.0f} MiB")
        result[f"{form}_megabytes"] = round(ours["megabytes"])
    peers = {"reader": in_a_process(sys.executable, __file__, "--measure", "reader", "--folder", str(folder))}
    if python_dlt:
        script = str(Path(__file__).with_name("ingest_dlt.py"))
        days = [folder / "csv-0", folder / "csv-1"]
        few = [str(head(day, dlt_rows)) for day in days]
        peers["dlt_rows"] = in_a_process(str(python_dlt), script, "rows", *few)
        peers["dlt_arrow"] = in_a_process(str(python_dlt), script, "arrow", *map(str, days))
    for name, measured in peers.items():
        times = result["csv_day_rows_per_second"] / rate(measured)
        print(f"{name:15} {rate(measured):>11,.0f} rows/s   ours is {times:,.1f} times as fast")
        result[f"times_{name}"] = round(times, 2)
    return result


def missed(result: dict[str, Any]) -> list[str]:
    """The budgets that the result does not keep."""
    kept = {
        "rows_per_second": min(result[f"{form}_day_rows_per_second"] for form in PRESETS),
        "megabytes": -max(result[f"{form}_megabytes"] for form in PRESETS),
        "times_dlt_rows": result.get("times_dlt_rows"),
        "times_dlt_arrow": result.get("times_dlt_arrow"),
    }
    limits = BUDGETS | {"megabytes": -BUDGETS["megabytes"]}
    return [name for name, value in kept.items() if value is not None and value < limits[name]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure parsing, mapping, validation and delta.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--python-dlt", type=Path, help="a Python with dlt[duckdb] and pyarrow; without it no comparison"
    )
    parser.add_argument("--dlt-rows", type=int, default=20_000, help="rows for dlt's row mode")
    parser.add_argument("--measure", choices=[*PRESETS, "reader"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--show-only", action="store_true", help="do not fail when a budget is missed")
    given = parser.parse_args(arguments)
    if given.measure:
        measured = (
            measure_reader(given.folder) if given.measure == "reader" else measure_ours(given.folder, given.measure)
        )
        print(json.dumps(measured))
        return 0
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
        result = compare(Path(folder), given.rows, given.python_dlt, given.dlt_rows)
    result["missed"] = missed(result)
    print(json.dumps(result))
    return 1 if result["missed"] and not given.show_only else 0


if __name__ == "__main__":
    sys.exit(main())
