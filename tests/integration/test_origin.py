"""The lying origin tells exactly the lies it is asked for: seen by raw sockets and by clients that are not ours."""

import asyncio
import random
import ssl
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults import FAMILIES, FAULTS, honest
from tests.faults.servers import Servers
from tests.forward_proxy import ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_reply import pieces_of
from tests.origin_tls import Certificates, Kind

SIZE = 10_000


async def raw(url: str, **headers: str) -> bytes:
    """All that comes back for a GET, until the connection closes or breaks."""
    authority, _, path = url.partition("//")[2].partition("/")
    host, _, port = authority.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"GET /{path} HTTP/1.1", "Host: a", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    writer.write_eof()
    found = b""
    try:
        while data := await reader.read(1 << 16):
            found += data
    except ConnectionResetError:
        found += b" RESET"
    finally:
        writer.close()
    return found


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [
        ({}, {}, [b"HTTP/1.1 200 OK\r\n", b"\r\nDate: ", b'ETag: "v1"', b"Content-Length: 10000\r\n"]),
        ({"interim": (100, 103)}, {}, [b"HTTP/1.1 100 ", b"HTTP/1.1 103 ", b"HTTP/1.1 200 OK"]),
        ({"http10": True}, {}, [b"HTTP/1.0 200 OK", b"Connection: close"]),
        ({"more_fields": (("Content-Length", "5"),)}, {}, [b"Content-Length: 10000", b"Content-Length: 5"]),
        ({"headers": {"Content-Length": "{length}, {length}"}}, {}, [b"Content-Length: 10000, 10000"]),
        ({"framing": "chunked", "trailers": b"X: y\r\n"}, {}, [b"\r\n2710\r\n", b"\r\n0\r\nX: y\r\n\r\n"]),
        ({"gzip": True}, {}, [b"Content-Encoding: gzip", b"\x1f\x8b"]),
        ({}, {"Range": "bytes=9-19"}, [b"206 Partial", b"Content-Range: bytes 9-19/10000", b"Content-Length: 11\r\n"]),
        ({}, {"Range": "bytes=9-", "If-Range": '"v2"'}, [b"200 OK", b"Content-Length: 10000"]),
        ({}, {"Range": "bytes=10000-"}, [b"416 ", b"Content-Range: bytes */10000", b"Content-Length: 0"]),
        (
            {"multipart": True},
            {"Range": "bytes=0-9"},
            [b"multipart/byteranges", b"--edge\r\n", b"0-9/10000", b"--edge--"],
        ),
        ({"range_shift": 3}, {"Range": "bytes=10-19"}, [b"Content-Range: bytes 13-19/10000"]),
        ({"unasked_part": 10}, {}, [b"206 ", b"Content-Range: bytes 0-9/10000"]),
        ({"statuses": [503], "retry_after": "{date+60}"}, {}, [b"503 ", b"Retry-After: ", b" GMT"]),
        ({"hops": 2}, {}, [b"302 ", b"Location: /f?hop=1\r\n"]),
        ({"portal_after": 0}, {}, [b"200 OK", b"text/html", b"log in"]),
        ({"last_modified": "now", "date": None}, {}, [b"Last-Modified: ", b" GMT"]),
        ({"digests": ("Repr-Digest", "Digest")}, {}, [b"Repr-Digest: sha-256=:", b"Digest: SHA-256="]),
        ({"drop_after": 10, "drop_by": "reset"}, {}, [b" RESET"]),
        ({"garbage_head": b"nonsense"}, {}, [b"nonsense"]),
        ({"rejects": ("cookie",)}, {"Cookie": "a"}, [b"400 "]),
    ],
)
@pytest.mark.parametrize("chunking", [None, 7])
async def test_each_option_is_seen_on_the_wire(
    options: dict[str, Any], headers: dict[str, str], expected: list[bytes], chunking: int | None
) -> None:
    async with Origin(chunking=chunking) as origin:
        origin.file("/f", **({"size": SIZE} | deepcopy(options)))
        found = await raw(origin.url("/f"), **headers)
    position = 0
    for part in expected:
        assert part in found[position:], found[:1000]
        position = found.index(part, position)


def test_random_pieces_are_all_of_it() -> None:
    data = random.Random(1).randbytes(300_000)
    pieces = pieces_of(data, random.Random(2))
    assert b"".join(pieces) == data
    assert len(pieces) > 10


async def test_versions_follow_each_other(tmp_path: Path) -> None:
    async with Origin() as origin:
        script = origin.file("/f", size=SIZE, drop_after=100, change_after=1, changed_size=SIZE + 1)
        old, before = script.content.read(), script.validators
        first = await raw(origin.url("/f"))
        second = await raw(origin.url("/f"))
        assert first.endswith(old[:100])
        assert second.endswith(script.content.read())
        assert (script.content.size, script.validators != before) == (SIZE + 1, True)
        torn = origin.file("/g", size=SIZE, change_at=5000)
        old, new = torn.original.read(), torn.changed.read()
        assert (await raw(origin.url("/g"))).endswith(old[:5000] + new[5000:])
        assert (await raw(origin.url("/g"))).endswith(new)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "MD5-sess", "SHA-256-sess"])
async def test_digest_is_what_another_client_understands(algorithm: str) -> None:
    async with Origin() as origin:
        origin.file("/f", size=SIZE, auth=Auth(schemes=("Digest",), algorithms=(algorithm,), stale_times=1))
        for password, status in (("pass word:1", 200), ("wrong", 401)):
            middleware = aiohttp.DigestAuthMiddleware("ann", password)
            async with aiohttp.ClientSession(middlewares=(middleware,)) as session:
                await (await session.get(origin.url("/f"))).read()  # the first right answer comes too late
                assert (await session.get(origin.url("/f"))).status == status


@pytest.mark.parametrize("is_tls", [False, True])
async def test_the_proxy_passes_bytes_ends_and_resets_through(tmp_path: Path, is_tls: bool) -> None:
    certificates = Certificates()
    trust = ssl.create_default_context(cafile=certificates.write_bundle(tmp_path))
    tls = certificates.server() if is_tls else None
    async with Origin(tls=tls) as origin, ForwardProxy(auth=Auth()) as proxy, aiohttp.ClientSession() as session:
        file = origin.file("/f", size=SIZE)
        origin.file("/cut", size=SIZE, drop_after=100, drop_times=-1)
        origin.file("/reset", size=SIZE, drop_after=100, drop_times=-1, drop_by="reset")
        options: dict[str, Any] = {"proxy": proxy.url, "ssl": trust}
        password = {"Proxy-Authorization": aiohttp.encode_basic_auth("ann", "pass word:1")}
        with_password = options | {"proxy_headers" if is_tls else "headers": password}
        for _ in range(2):
            async with session.get(origin.url("/f"), **with_password) as response:
                assert await response.read() == file.content.read()
        for path in ("/cut", "/reset"):
            with pytest.raises(aiohttp.ClientError):
                async with session.get(origin.url(path), **with_password) as response:
                    await response.read()
        assert {request.method for request in proxy.requests} == {"CONNECT" if is_tls else "GET"}
        assert not any("proxy-authorization" in request.headers for request in origin.requests)
        if is_tls:
            with pytest.raises(aiohttp.ClientHttpProxyError, match="407"):
                await session.get(origin.url("/f"), **options)
        else:
            assert (await session.get(origin.url("/f"), **options)).status == 407


async def test_the_proxy_says_so_when_nobody_is_there() -> None:
    async with ForwardProxy() as proxy, aiohttp.ClientSession() as session:
        assert (await session.get("http://nobody.invalid/f", proxy=proxy.url)).status == 502


@pytest.mark.parametrize(
    ("kind", "code"), [("expired", 10), ("early", 9), ("other-name", 64), ("unknown-ca", 20), ("self-signed", 18)]
)
async def test_a_bad_certificate_is_bad_in_its_own_way(tmp_path: Path, kind: Kind, code: int) -> None:
    certificates = Certificates()
    trust = ssl.create_default_context(cafile=certificates.write_bundle(tmp_path))
    async with Origin(tls=certificates.server(kind)) as origin, aiohttp.ClientSession() as session:
        origin.file("/f", size=SIZE)
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await session.get(origin.url("/f"), ssl=trust)
        assert caught.value.certificate_error.verify_code == code  # type: ignore[attr-defined]


def test_names_of_faults_are_unique_and_said_in_a_line() -> None:
    assert len(FAULTS) == sum(len(family.FAULTS) for family in FAMILIES)
    assert len(FAULTS) >= 120
    assert all(fault.about and len(fault.about) < 100 for fault in FAULTS.values())


async def test_every_fault_can_be_played() -> None:
    """No script is itself wrong, which the servers would say at their end."""
    async with Servers(chunking=3) as servers:
        for name, fault in FAULTS.items():
            servers.place(name, fault)
            is_slow = fault.script.keys() & {"rate", "head_rate", "stall_after"}
            if fault.only != "https" and not is_slow:
                for headers in ({}, {"Range": "bytes=40000-"}, {}):
                    await raw(servers.names["good"] + f"/{name}-0", **headers)


async def test_honest_faults_serve_what_is_meant() -> None:
    async with Servers(chunking=4) as servers:
        for name, fault in honest.FAULTS.items():
            placed = servers.place(name, fault)
            if placed.meant.framing != "chunked" and placed.meant.rate != 1:
                found = await raw(placed.url)
                assert found.endswith(b"\r\n\r\n" + placed.versions()[1]), name
