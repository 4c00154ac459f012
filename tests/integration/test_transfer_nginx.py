"""The worker against a real nginx: what it serves is what arrives, resumed or not, changed or not."""

import os

from tests.nginx import Nginx, nginx
from tests.transfer_rig import Rig, rig
from transfer.http import HttpSource
from transfer.request import ByteRange
from transfer.source import Ask

__all__ = ["nginx", "rig"]
BODY = bytes(range(256)) * 20_000


async def test_a_file_arrives_whole_and_is_resumed_by_range_and_if_range(rig: Rig, nginx: Nginx) -> None:
    (nginx.root / "a.bin").write_bytes(BODY)
    assert (await rig.fetch(nginx.url("a.bin"))).size == len(BODY)
    assert rig.data() == BODY
    remote = rig.observer.remote
    assert remote is not None
    assert remote.size == len(BODY)
    assert remote.headers.startswith("HTTP/1.1 200 OK\r\nServer: nginx")
    await rig.fetch(nginx.url("a.bin"), part=rig.hold_part(BODY[:1_000_000]))
    assert rig.data() == BODY
    assert nginx.log()[-1].startswith('GET /a.bin 206 "bytes=1000000-" "\\x22')


async def test_a_file_that_changed_is_the_new_one(rig: Rig, nginx: Nginx) -> None:
    (nginx.root / "a.bin").write_bytes(BODY)
    await rig.fetch(nginx.url("a.bin"))
    (nginx.root / "a.bin").write_bytes(BODY[::-1])
    os.utime(nginx.root / "a.bin", (1, 1))
    await rig.fetch(nginx.url("a.bin"), part=rig.hold_part(BODY[:1_000_000]))
    assert rig.data() == BODY[::-1]


async def test_ranges_and_sizes_are_learnt(rig: Rig, nginx: Nginx) -> None:
    (nginx.root / "a.bin").write_bytes(BODY)
    assert (await rig.fetch(nginx.url("a.bin"), ranges=(ByteRange(10, 5), ByteRange(len(BODY) - 3)))).size == 8
    assert rig.data() == BODY[10:15] + BODY[-3:]
    assert isinstance(rig.source, HttpSource)
    assert await rig.source.probe(Ask(nginx.url("a.bin"))) == len(BODY)
    assert await rig.source.probe(Ask(nginx.url("none"))) is None
