"""TLS over real sockets: each flaw of a certificate with each relaxation, our own certificate, and cut streams."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.origin import Origin
from tests.origin_tls import Certificates, Kind
from transfer.errors import ConnectionLostError, TlsFailedError, TransferError
from transfer.http import HttpSource
from transfer.request import Settings, Terms, TlsTerms
from transfer.source import Ask

KINDS: dict[Kind, str] = {
    "expired": "CERT_DATE_INVALID",
    "early": "CERT_DATE_INVALID",
    "other-name": "CERT_CN_INVALID",
    "unknown-ca": "UNKNOWN_CA",
    "self-signed": "UNKNOWN_CA",
    "client-only": "CERT_WRONG_USAGE",
}
FLAWS = ("CERT_DATE_INVALID", "CERT_CN_INVALID", "UNKNOWN_CA", "CERT_WRONG_USAGE")
CERTIFICATES = Certificates()


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[HttpSource]:
    found = HttpSource(Settings(connect_timeout=1, stall_timeout=1), ca_bundle=CERTIFICATES.write_bundle(tmp_path))
    yield found
    await found.close()


async def fetched(source: HttpSource, url: str, *forgiven: str, **certificate: str) -> bytes:
    terms = Terms(tls=TlsTerms(frozenset(forgiven), **certificate))
    async with source.open(Ask(url, terms=terms)) as reply:
        return b"".join([chunk async for chunk in reply.chunks])


@asynccontextmanager
async def speaking(*said: bytes) -> AsyncIterator[str]:
    """A server without TLS that says this and closes; its https address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.writelines(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/f"


@pytest.mark.parametrize("kind", KINDS)
async def test_each_relaxation_forgives_its_own_flaw_and_no_other(source: HttpSource, kind: Kind) -> None:
    async with Origin(tls=CERTIFICATES.server(kind)) as origin:
        file = origin.file("/f", size=1000)
        flaw = KINDS[kind]
        others = [other for other in FLAWS if other != flaw]
        for forgiven in ([], *([other] for other in others), others):
            with pytest.raises(TlsFailedError) as caught:
                await fetched(source, origin.url("/f?token=secret"), *forgiven)
            assert caught.value.kind == flaw
            assert "secret" not in str(caught.value)
        assert origin.requests == []
        assert await fetched(source, origin.url("/f"), flaw) == file.content.read()
        assert await fetched(source, origin.url("/f"), *FLAWS) == file.content.read()
        with pytest.raises(TlsFailedError):
            await fetched(source, origin.url("/f"))


async def test_a_good_certificate_is_good_whatever_would_be_forgiven(source: HttpSource) -> None:
    async with Origin(tls=CERTIFICATES.server()) as origin:
        file = origin.file("/f", size=1000)
        for forgiven in ((), *((flaw,) for flaw in FLAWS), FLAWS):
            assert await fetched(source, origin.url("/f", host="localhost"), *forgiven) == file.content.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("forgiven", [(), ("UNKNOWN_CA",)])
async def test_a_server_that_wants_a_certificate_gets_the_job_s_or_says_so(
    source: HttpSource, version: ssl.TLSVersion, forgiven: tuple[str, ...]
) -> None:
    async with Origin(tls=CERTIFICATES.demanding(version)) as origin:
        file = origin.file("/f", size=1000)
        ours = CERTIFICATES.client()
        assert await fetched(source, origin.url("/f"), *forgiven, **ours) == file.content.read()
        for wrong in ({}, CERTIFICATES.client(is_known=False)):
            with pytest.raises(TlsFailedError) as caught:
                await fetched(source, origin.url("/f"), *forgiven, **wrong)
            assert caught.value.kind == "CLIENT_CERT_NEEDED"
        assert len(origin.requests) == 1


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
async def test_a_client_certificate_that_cannot_be_used_is_named(source: HttpSource, text: str) -> None:
    async with Origin(tls=CERTIFICATES.server()) as origin:
        ours = CERTIFICATES.client() | {"private_key": text}
        with pytest.raises(TlsFailedError) as caught:
            await fetched(source, origin.url("/f"), **ours)
        assert caught.value.kind == "CLIENT_CERT_NEEDED"


async def test_what_is_no_tls_is_a_failure_and_a_close_is_a_lost_connection(source: HttpSource) -> None:
    async with Origin(tls=CERTIFICATES.without_common_cipher()) as old:
        with pytest.raises(TlsFailedError) as caught:
            await fetched(source, old.url("/f"), *FLAWS)
        assert caught.value.kind == ""
    async with speaking() as url:
        with pytest.raises(ConnectionLostError):
            await fetched(source, url)
    async with speaking(b"HTTP/1.1 400 no TLS?\r\n\r\n") as url:
        with pytest.raises(TlsFailedError):
            await fetched(source, url)


@pytest.mark.parametrize("framing", ["close", "chunked", "length"])
async def test_a_cut_below_tls_is_never_the_end_of_a_body(source: HttpSource, framing: str) -> None:
    async with Origin(tls=CERTIFICATES.server()) as origin:
        file = origin.file("/f", size=100_000, framing=framing, drop_after=100_000, drop_by="truncate")
        if framing == "length":
            file.drop_after = 50_000
        with pytest.raises(ConnectionLostError):
            await fetched(source, origin.url("/f"))
        assert await fetched(source, origin.url("/f")) == file.content.read()


async def test_a_reset_is_never_the_end_of_a_body_without_a_length(source: HttpSource) -> None:
    async with Origin() as origin:
        file = origin.file("/f", size=100_000, framing="close", drop_after=50_000, drop_by="reset", drop_times=3)
        for _ in range(3):
            with pytest.raises(ConnectionLostError):
                await fetched(source, origin.url("/f"))
        assert await fetched(source, origin.url("/f")) == file.content.read()


async def test_connections_are_not_shared_by_jobs_with_other_terms(source: HttpSource) -> None:
    """A connection made for a job that forgives, or that showed a certificate, is no other job's."""
    context = CERTIFICATES.server("other-name")
    async with Origin(tls=context) as origin:
        origin.file("/f", size=10)
        await fetched(source, origin.url("/f"), "CERT_CN_INVALID")
        for terms in ((), ("CERT_DATE_INVALID",), ("UNKNOWN_CA",)):
            with pytest.raises(TransferError):
                await fetched(source, origin.url("/f"), *terms)
