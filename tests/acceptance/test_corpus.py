"""The corpus: every fault of tests/faults ends as documented: by http and https, with and without proxy, in both ways
to read a body, and with every file split over several connections.
"""

from pathlib import Path

import pytest

from tests.acceptance.corpus import ENVIRONMENT, Session
from tests.faults import FAULTS
from tests.faults.servers import Servers
from tests.process import Bitsd

SEED = 20_241
SECONDS = 110.0


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("connections", "settings"),
    [
        (1, {"TAKE_OVER_SIZE": "-1"}),
        (4, {"TAKE_OVER_SIZE": "0"}),
        (1, {"TAKE_OVER_SIZE": "-1", "SPLIT_SIZE": "0"}),
        (2, {"TAKE_OVER_SIZE": "0", "SPLIT_SIZE": "0"}),
    ],
    ids=["general", "taken-over", "split", "split-taken-over"],
)
@pytest.mark.parametrize("by_proxy", [False, True], ids=["direct", "proxy"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_every_fault_ends_as_documented(
    tmp_path: Path, scheme: str, by_proxy: bool, connections: int, settings: dict[str, str]
) -> None:
    faults = {name: fault for name, fault in FAULTS.items() if fault.only in {"", scheme}}
    async with Servers(scheme=scheme, chunking=SEED) as servers:
        environment = ENVIRONMENT | {f"BITSD_TRANSFER__{key}": value for key, value in settings.items()}
        environment |= {
            "BITSD_TRANSFER__CONNECTIONS_PER_JOB": str(connections),
            "BITSD_TRANSFER__CA_BUNDLE": servers.certificates.write_bundle(tmp_path),
        }
        async with Bitsd(tmp_path, **environment) as bitsd:
            pid = bitsd.pid
            session = Session(bitsd, servers, by_proxy=by_proxy, connections=connections)
            wrong = await session.run(faults, SECONDS)
            assert wrong == [], "\n".join([f"{len(wrong)} of {len(faults)} end otherwise:", *wrong])
            assert bitsd.process is not None
            assert (bitsd.process.returncode, bitsd.pid) == (None, pid)
            assert bitsd.leftovers() == []
            assert "Traceback" not in bitsd.log
