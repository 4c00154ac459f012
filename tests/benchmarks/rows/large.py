"""One file of 2 GiB: plain, without the take-over, over TLS, and with a digest."""

import asyncio
import hashlib
from pathlib import Path

from tests.benchmarks.measure import Bench, Figures, Rounds, Run, alternate, command
from tests.benchmarks.row import Demand, Row
from tests.benchmarks.service import Service, file, job, running_service
from tests.benchmarks.sources import GIB, Source, served, served_by_tls

SIZE = 2 * GIB
GENERAL = {"BITSD_TRANSFER__TAKE_OVER_SIZE": "-1"}
"""No body is taken over from the HTTP library."""
VERIFIED_CURL = "curl + openssl"


def curl(source: Source) -> Run:
    trust = ["--cacert", source.bundle] if source.bundle else []
    return lambda folder: command(_curl(source, folder, *trust))


def wget2(source: Source) -> Run:
    trust = [f"--ca-certificate={source.bundle}"] if source.bundle else []
    return lambda folder: command(
        ["wget2", "--no-config", "-q", *trust, "-O", str(folder / source.names[0]), source.url]
    )


def aria2(source: Source, *options: str) -> Run:
    return lambda folder: command(["aria2c", "--no-conf", "-q", *options, "-d", str(folder), source.url])


def ours(service: Service, source: Source, **properties: object) -> Run:
    """One job with the one file."""

    async def run(folder: Path) -> Figures:
        return await service.transfer(job([file(source.url, folder / source.names[0], **properties)]))

    return run


async def plain(bench: Bench) -> Rounds:
    with served(bench, [SIZE]) as source:
        async with running_service(bench.home / "bitsd") as service:
            runs = {
                "bitsd": ours(service, source),
                "curl": curl(source),
                "wget2": wget2(source),
                "aria2c -x1": aria2(source, "-x1"),
            }
            return await alternate(bench, runs, source.check)


async def general(bench: Bench) -> Rounds:
    with served(bench, [SIZE]) as source:
        async with running_service(bench.home / "bitsd", **GENERAL) as service:
            runs = {"bitsd": ours(service, source), "curl": curl(source)}
            return await alternate(bench, runs, source.check)


async def tls(bench: Bench) -> Rounds:
    with served_by_tls(bench, SIZE) as source:
        async with running_service(bench.home / "bitsd", BITSD_TRANSFER__CA_BUNDLE=source.bundle) as service:
            runs = {"bitsd": ours(service, source), "curl": curl(source), "wget2": wget2(source)}
            return await alternate(bench, runs, source.check)


async def digest(bench: Bench) -> Rounds:
    with served(bench, [SIZE]) as source:
        promised = await asyncio.to_thread(_sha256, source.root / source.names[0])

        async def verified_curl(folder: Path) -> Figures:
            path = str(folder / source.names[0])
            return await command(_curl(source, folder), ["openssl", "dgst", "-sha256", path])

        async with running_service(bench.home / "bitsd") as service:
            runs = {"bitsd": ours(service, source, digest={"sha-256": promised}), VERIFIED_CURL: verified_curl}
            return await alternate(bench, runs, source.check)


def _curl(source: Source, folder: Path, *options: str) -> list[str]:
    return ["curl", "--disable", "-sf", *options, "-o", str(folder / source.names[0]), source.url]


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


ROWS = (
    Row(
        "plain",
        "2 GiB, plain HTTP, one job, created to TRANSFERRED",
        "Served by nginx. bitsd syncs the file before it says TRANSFERRED; curl and wget2 sync nothing.",
        plain,
        (
            Demand("wall to curl", "wall", 0.75, "curl", aim=0.55),
            Demand("CPU to curl", "cpu", 0.75, "curl"),
            Demand("wall to wget2", "wall", 1.0, "wget2"),
        ),
        "curl",
        2,
    ),
    Row(
        "general",
        "the same on the general path",
        "`take_over_size = -1`: every body is read through the HTTP library.",
        general,
        (Demand("wall to curl", "wall", 1.0, "curl"), Demand("CPU to curl", "cpu", 1.1, "curl")),
        "curl",
        2,
    ),
    Row(
        "tls",
        "the same over TLS",
        "Served by nginx with a certificate made for the run; bitsd and the peers verify it.",
        tls,
        (Demand("wall to curl", "wall", 0.9, "curl"), Demand("CPU to curl", "cpu", 0.9, "curl")),
        "curl",
        2,
    ),
    Row(
        "digest",
        "the same with a SHA-256 digest given",
        "The peer is `curl`, then `openssl dgst -sha256` on what it wrote: wall and CPU of both.",
        digest,
        (
            Demand("wall to curl + openssl", "wall", 0.8, VERIFIED_CURL, aim=0.65),
            Demand("CPU to curl + openssl", "cpu", 0.8, VERIFIED_CURL),
        ),
        VERIFIED_CURL,
        2,
    ),
)
