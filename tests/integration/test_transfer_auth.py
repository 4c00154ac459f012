"""Passwords and proxies over real sockets: who is asked, what is answered, and who never sees it."""

import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.forward_proxy import FAULTS, ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_tls import Certificates
from transfer.errors import (
    ConnectFailedError,
    ConnectionLostError,
    GarbledReplyError,
    HttpStatusError,
    NameNotResolvedError,
    StalledError,
    TransferError,
)
from transfer.http import HttpSource
from transfer.request import Credential, ProxyRule, Settings, Terms
from transfer.source import Ask

CERTIFICATES = Certificates()
ANN = ("ann", "pass word:1")
SERVER = tuple(Credential("SERVER", scheme, *ANN) for scheme in ("BASIC", "DIGEST"))
PROXY = tuple(Credential("PROXY", scheme, *ANN) for scheme in ("BASIC", "DIGEST"))
WRONG = tuple(Credential(one.target, one.scheme, "ann", "wrong") for one in SERVER + PROXY)
ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "")


@asynccontextmanager
async def new_source(folder: Path) -> AsyncIterator[HttpSource]:
    found = HttpSource(Settings(connect_timeout=1, stall_timeout=0.5), ca_bundle=CERTIFICATES.write_bundle(folder))
    yield found
    await found.close()


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[HttpSource]:
    async with new_source(tmp_path) as found:
        yield found


@pytest.fixture(params=["http", "https"])
async def origin(request: pytest.FixtureRequest) -> AsyncIterator[Origin]:
    async with Origin(tls=CERTIFICATES.server() if request.param == "https" else None) as server:
        yield server


async def status_of(source: HttpSource, url: str, **terms: object) -> int:
    """The status of the reply whose body was read, or of the error."""
    try:
        async with source.open(Ask(url, terms=Terms(**terms))) as reply:  # type: ignore[arg-type]
            async for _ in reply.chunks:
                pass
            return reply.head.status
    except HttpStatusError as error:
        return error.status


def through(*proxies: ForwardProxy | str) -> ProxyRule:
    return ProxyRule("OVERRIDE", " ".join(one if isinstance(one, str) else one.url for one in proxies))


def dead_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(
    "auth",
    [
        Auth(schemes=("Basic",)),
        *(Auth(schemes=("Digest",), algorithms=(name,)) for name in ALGORITHMS),
        Auth(schemes=("Digest",), algorithms=("SHA-999", "SHA-256", "MD5")),
        Auth(schemes=("Digest",), qop=""),
        Auth(schemes=("Digest",), qop="auth-int,auth"),
        Auth(schemes=("Digest",), stale_times=1),
        Auth(schemes=("Negotiate", "Basic", "Digest"), is_one_field=True),
    ],
)
async def test_a_challenge_is_answered_and_remembered(source: HttpSource, origin: Origin, auth: Auth) -> None:
    origin.file("/f", size=1000, auth=auth)
    origin.file("/g", size=1000, auth=auth)
    assert await status_of(source, origin.url("/f"), credentials=SERVER) == 200
    assert "authorization" not in origin.requests[0].headers
    before = len(origin.requests)
    for path in ("/f", "/g"):
        assert await status_of(source, origin.url(path), credentials=SERVER) == 200
    assert len(origin.requests) == before + 2
    if "Digest" in auth.schemes:
        answers = [request.headers["authorization"] for request in origin.requests[1:]]
        assert all(answer.startswith("Digest ") for answer in answers)


async def test_a_refused_password_ends_as_401_after_one_honest_try(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10, auth=Auth(schemes=("Digest", "Basic")))
    assert await status_of(source, origin.url("/f"), credentials=WRONG) == 401
    assert len(origin.requests) == 2
    assert await status_of(source, origin.url("/f"), credentials=SERVER) == 200
    assert await status_of(source, origin.url("/f")) == 401
    assert await status_of(source, origin.url("/f"), credentials=PROXY) == 401
    origin.file("/n", size=10, auth=Auth(schemes=("Negotiate",)))
    assert await status_of(source, origin.url("/n"), credentials=SERVER) == 401


async def test_a_nonce_that_is_always_too_old_is_no_endless_loop(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10, auth=Auth(schemes=("Digest",), stale_times=100))
    assert await status_of(source, origin.url("/f"), credentials=SERVER) == 401
    assert len(origin.requests) == 3


async def test_a_long_page_with_the_challenge_is_not_waited_for(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10, auth=Auth(body=b"w" * 3_000_000))
    assert await status_of(source, origin.url("/f"), credentials=SERVER) == 200


async def test_a_caller_s_own_answer_goes_first(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10, auth=Auth())
    headers = {"Authorization": "Bearer token"}
    assert await status_of(source, origin.url("/f"), credentials=SERVER, headers=headers) == 200
    assert [request.headers["authorization"].split()[0] for request in origin.requests] == ["Bearer", "Basic"]


async def test_passwords_are_for_the_server_they_are_for(source: HttpSource, origin: Origin) -> None:
    """Those without an origin for the server the owner named, the others for theirs."""
    async with Origin() as gate:
        origin.file("/f", size=10, auth=Auth())
        gate.file("/go", redirect=origin.url("/f"))
        assert await status_of(source, gate.url("/go"), credentials=SERVER) == 401
        assert not any("authorization" in request.headers for request in origin.requests)
        there = Credential("SERVER", "BASIC", *ANN, origin=origin.url())
        assert await status_of(source, gate.url("/go"), credentials=(there, *WRONG)) == 200
        assert not any("authorization" in request.headers for request in gate.requests)
        elsewhere = Credential("SERVER", "BASIC", *ANN, origin=gate.url())
        assert await status_of(source, origin.url("/f"), credentials=(elsewhere,)) == 401


@pytest.mark.parametrize("schemes", [("Basic",), ("Digest",)])
async def test_a_proxy_and_a_server_that_both_ask_are_both_answered(
    source: HttpSource, origin: Origin, schemes: tuple[str, ...]
) -> None:
    file = origin.file("/f", size=100_000, auth=Auth(schemes=("Digest",)), rejects=("proxy-authorization",))
    async with ForwardProxy(auth=Auth(schemes=schemes)) as proxy:
        for _ in range(3):
            async with source.open(
                Ask(origin.url("/f"), terms=Terms(proxy=through(proxy), credentials=SERVER + PROXY))
            ) as reply:
                assert b"".join([chunk async for chunk in reply.chunks]) == file.content.read()
        tunnels = [request for request in proxy.requests if request.method == "CONNECT"]
        assert not any("authorization" in request.headers for request in tunnels)
        if tunnels:  # one refused; by Basic the next is used again, by Digest each has its own answer
            assert len(tunnels) == (2 if schemes == ("Basic",) else 5)


@pytest.mark.parametrize("credentials", [(), SERVER, WRONG])
async def test_a_proxy_that_is_not_satisfied_is_a_407(
    source: HttpSource, origin: Origin, credentials: tuple[Credential, ...]
) -> None:
    origin.file("/f", size=10)
    async with ForwardProxy(auth=Auth(schemes=("Digest", "Basic"))) as proxy:
        assert await status_of(source, origin.url("/f"), proxy=through(proxy), credentials=credentials) == 407
        assert len(proxy.requests) == (2 if credentials == WRONG else 1)
        assert origin.requests == []


async def test_a_way_through_the_proxy_is_not_shared_with_other_passwords(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10)
    async with ForwardProxy(auth=Auth()) as proxy:
        rule = through(proxy)
        assert await status_of(source, origin.url("/f"), proxy=rule, credentials=PROXY) == 200
        assert await status_of(source, origin.url("/f"), proxy=rule, credentials=WRONG) == 407
        assert await status_of(source, origin.url("/f"), proxy=rule) == 407


async def test_a_caller_s_own_answer_to_the_proxy_goes_no_further(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10, rejects=("proxy-authorization",))
    headers = {"Proxy-Authorization": "Basic YW5uOnBhc3Mgd29yZDox"}
    async with ForwardProxy(auth=Auth()) as proxy:
        assert await status_of(source, origin.url("/f"), proxy=through(proxy), headers=headers) == 200
    assert await status_of(source, origin.url("/f"), headers=headers) == 200


async def test_a_password_in_the_environment_s_proxy_is_for_that_proxy(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.file("/f", size=10, rejects=("proxy-authorization", "authorization"))
    async with ForwardProxy(auth=Auth()) as proxy:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", proxy.url.replace("//", "//ann:pass%20word%3A1@"))
        monkeypatch.delenv("no_proxy", raising=False)
        async with new_source(tmp_path) as source:  # which looks at the environment once
            assert await status_of(source, origin.url("/f")) == 200
        assert "proxy-authorization" not in proxy.requests[0].headers


async def test_dead_proxies_are_passed_over_and_tried_last_for_a_while(source: HttpSource, origin: Origin) -> None:
    origin.file("/f", size=10)
    dead = dead_address()
    async with ForwardProxy() as proxy:
        rule = through(dead, "nobody.invalid:3128", proxy)
        for _ in range(2):
            assert await status_of(source, origin.url("/f"), proxy=rule) == 200
    with pytest.raises(ConnectFailedError) as caught:
        await status_of(source, origin.url("/f?token=secret"), proxy=through(dead, "nobody.invalid:3128"))
    assert dead in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("garbage", GarbledReplyError),
        ("close", ConnectionLostError),
        ("silence", StalledError),
        ("close-after-connect", ConnectionLostError),
    ],
)
async def test_a_proxy_that_does_not_do_its_work_has_its_error(
    source: HttpSource, fault: FAULTS, error: type[TransferError]
) -> None:
    async with Origin(tls=CERTIFICATES.server()) as origin, ForwardProxy(fault=fault) as proxy:
        with pytest.raises(error):
            await status_of(source, origin.url("/f"), proxy=through(proxy))


@pytest.mark.parametrize(("fault", "status"), [("status-502", 502), ("status-403", 403)])
async def test_a_proxy_s_own_status_is_the_status(
    source: HttpSource, origin: Origin, fault: FAULTS, status: int
) -> None:
    async with ForwardProxy(fault=fault) as proxy:
        assert await status_of(source, origin.url("/f"), proxy=through(proxy)) == status


async def test_a_name_nobody_has_is_no_fault_of_a_proxy(source: HttpSource) -> None:
    with pytest.raises(NameNotResolvedError):
        await status_of(source, "https://nobody.invalid/f")
    async with ForwardProxy() as proxy:
        assert await status_of(source, "https://nobody.invalid/f", proxy=through(proxy)) == 502


async def test_no_log_shows_a_secret(
    source: HttpSource, origin: Origin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even at debug level, with asyncio in debug mode, when everything fails."""
    caplog.set_level("DEBUG")
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.get_debug", lambda _: True)
    origin.file("/f", size=10, auth=Auth(schemes=("Digest", "Basic")), redirect=None)
    origin.file("/broken", garbage_head=b"what?\r\n\r\n")
    origin.file("/cut", size=10, drop_after=5, drop_times=-1)
    origin.file("/there", redirect="http://user:secret-4@nobody.invalid/?token=secret-5")
    async with ForwardProxy(auth=Auth()) as proxy:
        for path in ("/f", "/broken", "/cut", "/there", "/none"):
            for rule in (ProxyRule(), through(proxy), through(dead_address())):
                with suppress(TransferError):
                    await status_of(
                        source,
                        origin.url(f"{path}?token=secret-1"),
                        headers={"X-Api-Key": "secret-2"},
                        credentials=tuple(Credential(one.target, one.scheme, "ann", "secret-3") for one in WRONG),
                        proxy=rule,
                    )
    assert any(record.name == "asyncio" for record in caplog.records)
    shown = caplog.text + "".join(str(record.args) + str(record.exc_info) for record in caplog.records)
    assert "secret" not in shown
    assert b64encode(b"ann:secret-3").decode() not in shown


async def test_a_proxy_that_cannot_be_trusted_is_passed_over_like_a_dead_one(
    source: HttpSource, origin: Origin
) -> None:
    origin.file("/f", size=10)
    async with Origin(tls=CERTIFICATES.server("unknown-ca")) as stranger, ForwardProxy() as proxy:
        assert await status_of(source, origin.url("/f"), proxy=through(stranger.url(), proxy)) == 200
        with pytest.raises(ConnectFailedError) as caught:
            await status_of(source, origin.url("/f"), proxy=through(stranger.url()))
        assert stranger.url() in str(caught.value)
        assert stranger.requests == []
