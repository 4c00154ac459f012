"""What was measured, as the table in the terminal and as docs/performance.md.

Sentences about figures are made from the figures; explanation that does not depend on them stands in the template.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.measure import Figures, Rounds
from tests.benchmarks.row import Demand, Row, Spread


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was measured; `day` is when."""

    row: Row
    rounds: Rounds
    day: str


HEADS = {
    "wall": "wall, s",
    "cpu": "CPU, s",
    "cpu per gib": "CPU, s/GiB",
    "memory": "memory, MiB",
    "resumed": "resumed, s",
    "rate": "files/s",
    "most": "connections, most",
    "kept": "connections, kept",
    "single": "1 connection, /s",
    "parallel": "32 connections, /s",
    "batch": "batches, /s",
    "reads": "reads/s",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "create": "create, ms",
    "decision": "decision, ms",
    "decision cpu": "decision, CPU ms",
    "start": "start, s",
    "restart": "restart, s",
}
"""The metrics, in the order of the columns."""
RATIOS = ("wall", "cpu")


def demands(results: Sequence[Result], rows: Sequence[Row]) -> str:
    """Every demand beside what was reached."""
    measured = {result.row.name: result for result in results}
    lines = []
    for row in rows:
        for number, demand in enumerate(row.demands):
            work = f"`{row.name}`: {row.work}" if number == 0 else ""
            found = measured.get(row.name)
            reached = "not measured | " if found is None else _reached(demand, found.rounds)
            lines.append(f"| {work} | {demand.name} | {demand.text} | {reached} |")
    return _table(["work", "figure", "demand", "median (least to most)", ""], lines)


def detail(result: Result) -> str:
    """Everything that was counted in a row."""
    columns = _columns(result)
    ratios = [metric for metric in RATIOS if result.row.base and metric in columns]
    heads = ["", *(HEADS[metric] for metric in columns), *(f"{metric} / {result.row.base}" for metric in ratios)]
    lines = []
    for name in result.rounds[0]:
        own = [found[name] for found in result.rounds]
        cells = [
            _shown(statistics.median(_value(figures, metric, result.row) for figures in own)) for metric in columns
        ]
        cells += [_spread(Demand("", metric, 0, result.row.base, name).spread(result.rounds)) for metric in ratios]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return _table(heads, lines)


def document(results: Sequence[Result], rows: Sequence[Row], machine: str, versions: Mapping[str, str]) -> str:
    """docs/performance.md."""
    met = sum(demand.is_met(result.rounds) for result in results for demand in result.row.demands)
    total = sum(len(row.demands) for row in rows)
    parts = "\n\n".join(
        f"### {result.row.name}: {result.row.work}\n\n"
        f"{result.row.how} {len(result.rounds)} runs, {result.day}.\n\n{detail(result)}"
        for result in results
    )
    return TEMPLATE.format(
        met=met,
        total=total,
        demands=demands(results, rows),
        machine=machine,
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        parts=parts,
    )


def _reached(demand: Demand, rounds: Rounds) -> str:
    return f"{_spread(demand.spread(rounds))} | {'reached' if demand.is_met(rounds) else '**not reached**'}"


def _columns(result: Result) -> list[str]:
    found = set(result.rounds[0][next(iter(result.rounds[0]))])
    if result.row.gib and "cpu" in found:
        found.add("cpu per gib")
    return [metric for metric in HEADS if metric in found]


def _value(figures: Figures, metric: str, row: Row) -> float:
    return figures["cpu"] / row.gib if metric == "cpu per gib" else figures.get(metric, float("nan"))


def _spread(spread: Spread) -> str:
    return f"{_shown(spread.median)} ({_shown(spread.least)} to {_shown(spread.most)})"


def _shown(value: float) -> str:
    """Three digits, or all of a large number; nothing for what was not counted."""
    if value != value:  # noqa: PLR0124 - not a number
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(heads: Iterable[str], lines: Iterable[str]) -> str:
    heads = list(heads)
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines])


TEMPLATE = """# Performance: bitsd beside its peers

Made by `make bench`. {met} of {total} demands are reached.

![Time of bitsd as a share of its peers'](performance.svg)

{demands}

A figure "to" a peer is a ratio within one round; the median, the least and the most of all rounds are shown. Less than
1 is less time than the peer's, except for rates, of which more is better. Why some demands are not reached, with
profiles: [decision 0020](decisions/0020-what-one-process-costs.md).

## How it was measured

- Everything runs on one machine: servers, peers and bitsd share its processors, the network is the loopback. Absolute
  figures are those of that machine at that hour; the ratios are what counts.
- Peers are run as commands, with no configuration but what is named here. Their wall time is from the start of the
  process to its end; their CPU time and peak memory are what the kernel counted for it.
- bitsd is a service that runs already, with its default settings but for limits on the number of jobs and files and
  what is named here, driven over its socket. Its wall time is from the call that creates to the answer that says
  TRANSFERRED; its CPU time is that of its process, all threads, in the same time; its memory is the peak in that time.
- TRANSFERRED means that the data is synced and recorded. curl and wget2 leave theirs in the page cache; aria2c syncs.
- What is downloaded is random bytes, locked in the page cache. Each run writes into a fresh folder on the disk, after a
  `sync`, so that nobody pays for what the one before left dirty. Many small files are kept until the row ends, because
  ext4 is slow where many were deleted.
- The contenders take turns, round after round; the first round warms up and does not count. The size of every file is
  checked in every round, its bytes in the warm-up.
- CPU time of the network's receiving side is partly counted for the sender, on loopback.

The machine: {machine}.

Versions: {versions}.

Single rows: `.venv-debian/bin/python -m tests.benchmarks --only plain,tls --runs 3`; with `--write` they take the
place of those in this document. The pure parts have micro-benchmarks, `pytest -m benchmark`, which `make bench` runs
too.

## All figures

Medians, and ratios as above.

{parts}
"""
