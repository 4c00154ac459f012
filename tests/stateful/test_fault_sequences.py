"""Random sequences of faults over one transfer, over real sockets: what is published is always one version.

Each request meets the next fault of the sequence, and some faults replace the file; when the sequence is over, the
server is honest. The transfer is begun again after each failure, as the queue would.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.origin import Origin, Script
from tests.origin_content import Body
from tests.transfer_rig import Rig
from transfer.crew import Crew
from transfer.errors import DigestMismatchError, LocalFileError, TransferError
from transfer.http import HttpSource
from transfer.request import ByteRange, Settings

EXAMPLES = 500
SIZES = st.sampled_from([0, 1, 1000, 70_000, 200_000])
PLACES = st.integers(0, 150_000)
Options = dict[str, Any]

BREAKS = st.one_of(
    st.builds(lambda at, by: {"drop_after": at, "drop_by": by}, PLACES, st.sampled_from(["close", "reset"])),
    st.builds(lambda at: {"short_by": at}, st.integers(1, 500)),
    st.just({"drop_after": -1}),
    st.builds(lambda at: {"bad_chunk_after": at, "framing": "chunked"}, PLACES),
    st.just({"garbage_head": b"\x00\xff not HTTP\r\n\r\n"}),
)
LIES = st.sampled_from(
    [
        {"no_range": True},
        {"ignore_if_range": True},
        {"content_range": ""},
        {"content_range": "bytes 0-9/10"},
        {"content_range": "bytes */5"},
        {"range_shift": -7},
        {"range_shift": 7},
        {"multipart": True},
        {"gzip": True},
        {"extra": b"more"},
        {"framing": "chunked"},
        {"http10": True},
    ]
)
SHORTENED = st.builds(lambda limit: {"range_limit": limit}, st.integers(1, 90_000))
STATUSES = st.builds(
    lambda status: {"statuses": [status]}, st.sampled_from([204, 304, 404, 408, 412, 416, 429, 500, 503])
)


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request is answered; `changes` = there is a new version of the file before it (of `size`, if given)."""

    options: Options
    changes: bool
    size: int | None


FAULTS = st.builds(
    Fault,
    st.one_of(BREAKS, LIES, SHORTENED, STATUSES, st.tuples(BREAKS, LIES).map(lambda both: both[1] | both[0])),
    st.sampled_from([False, False, True]),
    st.none() | SIZES,
)
VALIDATORS = st.sampled_from(
    [
        {},
        {"last_modified": None},
        {"etag": None},
        {"etag": None, "last_modified": None},
        {"etag": 'W/"weak"', "last_modified": None},
        {"etag": None, "last_modified": "now"},
    ]
)


@dataclass
class Sequence(dict[str, Script]):
    """The scripts of an origin whose one file is served by the next fault at each request."""

    faults: deque[Fault]
    size: int
    validators: Options
    least: int = 0
    """No version is smaller."""
    seed: int = 0
    versions: list[Body] = field(default_factory=list)

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ANN401 - dict's own signature
        fault = self.faults.popleft() if self.faults else Fault({}, changes=False, size=None)
        if fault.changes:
            self.seed += 1
            self.size = self.size if fault.size is None else max(self.least, fault.size)
        own = dict(self.validators)
        if own.get("etag", '"v"'):
            own["etag"] = f'{own.get("etag", chr(34) + "v" + chr(34))[:-1]}{self.seed}"'
        if "last_modified" not in own:
            own["last_modified"] = f"Wed, 01 Jan 2025 00:00:{self.seed:02} GMT"
        options = own | fault.options
        if options.get("framing") == "chunked":
            options.pop("extra", None)  # a chunk more is no lie: nothing said how many there would be
        script = Script(size=self.size, seed=self.seed, **options)
        if script.content not in self.versions:
            self.versions.append(script.content)
        return script


async def fetch(folder: Path, scripts: Sequence, options: Options, ways: Options) -> bytes | TransferError:
    """What is published, or the last failure: the service would try for ever, this stops after some honest replies."""
    fast = Settings(stall_timeout=5.0, connect_timeout=5.0, checkpoint_interval=0.01, chunk_size=16_384, **ways)
    source, attempts = HttpSource(fast), len(scripts.faults) + 2
    failure: TransferError | None = None
    with Crew(2) as executor:
        rig = Rig(folder, source, executor, fast)
        try:
            async with Origin(scripts=scripts) as origin:
                for _ in range(attempts):
                    try:
                        await rig.fetch(origin.url("/file"), **options)
                    except LocalFileError:
                        raise
                    except TransferError as error:
                        failure = error
                    else:
                        return rig.data()
        finally:
            await source.close()
    assert failure is not None
    return failure


KINDS = st.sampled_from(["plain", "ranges", "digest", "unvalidated"])
WAYS = st.fixed_dictionaries({"take_over_size": st.sampled_from([-1, 0]), "split_size": st.sampled_from([0, 1 << 20])})
"""How bodies are read, and whether by several connections."""
RANGES = (ByteRange(900, 90), ByteRange(100, 100))


@pytest.mark.timeout(400)
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(FAULTS, max_size=6), SIZES, VALIDATORS, KINDS, WAYS)
def test_what_is_published_is_always_one_version(
    faults: list[Fault], size: int, validators: Options, kind: str, ways: Options
) -> None:
    least = 1000 if kind == "ranges" else 0
    scripts = Sequence(deque(faults), max(least, size), validators, least)
    first = Script(size=scripts.size).content
    options: Options = {}
    if kind == "digest":
        options["digest"] = {"sha256": first.digest()}
    elif kind == "ranges":
        options["ranges"] = RANGES
    elif kind == "unvalidated":
        options["may_resume_unvalidated"] = True
    with TemporaryDirectory() as folder:
        found = asyncio.run(fetch(Path(folder), scripts, options, ways))
    if kind == "digest":
        if scripts.versions[-1].digest() == first.digest() or isinstance(found, bytes):
            assert found == first.read()
        else:
            assert isinstance(found, DigestMismatchError)
    else:
        pieces = [(900, 990), (100, 200)] if kind == "ranges" else [(0, None)]
        assert found in [b"".join(version.read(*piece) for piece in pieces) for version in scripts.versions]
