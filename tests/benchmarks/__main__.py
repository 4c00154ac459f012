"""`make bench`: bitsd beside its peers, row by row.

--write keeps what was measured beside the files of the comparison and makes docs/performance.md and its chart from all
that is kept there, so that a single row can be measured again.
"""

import argparse
import asyncio
import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.chart import chart
from tests.benchmarks.machine import file_system, machine, versions
from tests.benchmarks.measure import Bench, say
from tests.benchmarks.report import Result, demands, detail, document
from tests.benchmarks.row import Row
from tests.benchmarks.rows import ROWS
from tests.benchmarks.sources import GIB

HOME = Path(__file__).resolve().parents[2]
NEEDED = 24 * GIB
NAMES = [row.name for row in ROWS]


def measure(row: Row, home: Path, runs: int) -> Result:
    """In a folder of its own, which is gone afterwards."""
    say(f"{row.name}: {row.work}")
    with tempfile.TemporaryDirectory(prefix=f"{row.name}-", dir=home) as folder:
        rounds = asyncio.run(row.measure(Bench(Path(folder), runs)))
    result = Result(row, rounds, dt.datetime.now(dt.UTC).date().isoformat())
    print(f"\n{row.name}: {row.work}\n{detail(result)}\n{demands([result], [row])}\n", flush=True)
    return result


def keep(result: Result, kept: Path) -> None:
    """Remember it, in place of what was measured of that row before."""
    known = json.loads(kept.read_text()) if kept.exists() else {}
    known[result.row.name] = {"day": result.day, "rounds": result.rounds}
    kept.write_text(json.dumps(known, indent=1))


def write(kept: Path, home: Path) -> None:
    """The documents, from all that is remembered."""
    known = json.loads(kept.read_text())
    results = [Result(row, **known[row.name]) for row in ROWS if row.name in known]
    text = document(results, ROWS, machine(home), versions())
    (HOME / "docs" / "performance.md").write_text(text)
    (HOME / "docs" / "performance.svg").write_text(chart(results))
    print(demands(results, ROWS))


def check_place(home: Path) -> None:
    """Exit when it is no place to measure at."""
    kind, free = file_system(home), shutil.disk_usage(home).free
    if kind in {"tmpfs", "ramfs"}:
        sys.exit(f"cannot compare: {home} is on {kind}, not on a disk; give --dir")
    if free < NEEDED:
        sys.exit(f"cannot compare: {home} has {free / GIB:.0f} GiB free, {NEEDED / GIB:.0f} are needed; give --dir")


def wanted(text: str) -> Sequence[Row]:
    """The rows of these names, separated by commas."""
    names = text.split(",")
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"there is no row {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return [row for row in ROWS if row.name in names]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", type=wanted, default=ROWS, metavar="ROW,...", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=5, help="after the warm-up")
    parser.add_argument("--dir", type=Path, default=HOME / ".bench", help="on the disk to measure")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and docs/performance.svg")
    given = parser.parse_args()
    given.dir.mkdir(parents=True, exist_ok=True)
    check_place(given.dir)
    kept = given.dir / "results.json"
    for row in given.only:
        result = measure(row, given.dir, given.runs)
        if given.write:
            keep(result, kept)
    if given.write:
        write(kept, given.dir)


if __name__ == "__main__":
    main()
