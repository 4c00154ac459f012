"""Servers that are slow on purpose: each connection, or each client."""

import asyncio
import urllib.request
from pathlib import Path

from tests.benchmarks.measure import Bench, Figures, Rounds, alternate
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.rows.large import aria2, curl, ours
from tests.benchmarks.service import running_service
from tests.benchmarks.sources import MIB, Source, served, served_together

RATE = 10 * MIB
SIXTEEN = {"BITSD_TRANSFER__CONNECTIONS_PER_FILE": "16"}
"""As many connections for one file as aria2 may have."""
ARIA2 = "aria2c -x16"


async def per_connection(bench: Bench) -> Rounds:
    with served(bench, [256 * MIB], directives=f"limit_rate {RATE};") as source:
        async with running_service(bench.home / "bitsd", **SIXTEEN) as service:
            runs = {"bitsd": ours(service, source), ARIA2: aria2(source, "-x16", "-s16", "-k1M")}
            return await alternate(bench, runs, source.check)


async def per_client(bench: Bench) -> Rounds:
    with served_together(bench, 128 * MIB, RATE) as source:
        async with running_service(bench.home / "bitsd", **SIXTEEN) as service:
            transfer = ours(service, source)

            async def counted(folder: Path) -> Figures:
                await asyncio.to_thread(_connections, source)
                figures = await transfer(folder)
                return figures | await asyncio.to_thread(_connections, source)

            return await alternate(bench, {"bitsd": counted, "curl": curl(source)}, source.check)


def _connections(source: Source) -> Figures:
    """Since the last question."""
    with urllib.request.urlopen(source.base + ".connections") as reply:
        most, kept = reply.read().split()
    return {"most": int(most), "kept": int(kept)}


ROWS = (
    Row(
        "per-connection",
        "256 MiB from a server limited to 10 MB/s per connection, up to 16 connections",
        "Served by nginx with `limit_rate`. `aria2c -x16 -s16 -k1M`: with the default of `-k` it would open 12.",
        per_connection,
        (Demand("wall to aria2c", "wall", 1.05, ARIA2),),
        ARIA2,
        0.25,
    ),
    Row(
        "per-client",
        "server limited to 10 MB/s per client whatever the connections",
        "128 MiB; a server of our own that counts the connections: *most* at any moment, *kept* = exceeded in a"
        " tenth of the time only.",
        per_client,
        (Demand("wall to curl", "wall", 1.05, "curl"), Demand("connections kept", "kept", 4)),
        "curl",
        0.125,
    ),
)
