"""A password for the proxy and one for the origin, over TLS: the real service, from ERROR to the file."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.forward_proxy import ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_tls import Certificates
from tests.process import Bitsd, Document

SIZE = 200_000
ORIGIN = {"user": "anna", "password": "origin: word"}
PROXY = {"user": "ben", "password": "proxy word"}


@dataclass
class Scene:
    """The service, an origin behind TLS and a proxy; both want a password, by the same scheme."""

    bitsd: Bitsd
    origin: Origin
    proxy: ForwardProxy
    scheme: str

    async def job(self) -> Document:
        proxy = {"usage": "OVERRIDE", "list": self.proxy.url}
        return await self.bitsd.create(self.origin.url("/file"), priority="FOREGROUND", proxy=proxy)

    async def give(self, job: Document, target: str, secret: Document) -> None:
        path = f"/v1/jobs/{job['id']}/credentials/{target}/{self.scheme.lower()}"
        status, _ = await self.bitsd.call("PUT", path, secret)
        assert status == 204


@pytest.fixture(params=["Basic", "Digest"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    certificates = Certificates()
    bundle = certificates.write_bundle(tmp_path)
    gate = Auth(user=PROXY["user"], password=PROXY["password"], schemes=(request.param,))
    async with (
        Origin(tls=certificates.server()) as origin,
        ForwardProxy(auth=gate) as proxy,
        Bitsd(tmp_path, BITSD_TRANSFER__CA_BUNDLE=bundle) as bitsd,
    ):
        lock = Auth(user=ORIGIN["user"], password=ORIGIN["password"], schemes=(request.param,))
        origin.file("/file", size=SIZE, auth=lock, drop_after=90_000)
        yield Scene(bitsd, origin, proxy, request.param)


async def test_a_file_comes_through_two_passwords_each_set_on_the_failed_job(scene: Scene) -> None:
    """spec/clients.md 14: ERROR 407, set, Resume; ERROR 401, set, Resume; and a broken connection on the way."""
    job = await scene.job()
    for target, secret, status in (("proxy", PROXY, 407), ("server", ORIGIN, 401)):
        failed = await scene.bitsd.wait(job, "ERROR")
        assert failed["error"]["hresult"] == f"0x{0x80190000 + status:08X}"
        assert failed["error"]["http_status"] == status
        await scene.give(job, target, {"user": secret["user"], "password": "wrong"})
        await scene.bitsd.act(job, "resume")
        failed = await scene.bitsd.wait(job, "ERROR")
        assert failed["error"]["http_status"] == status
        await scene.give(job, target, secret)
        await scene.bitsd.act(job, "resume")
    await scene.bitsd.wait(job, "TRANSFERRED")
    await scene.bitsd.act(job, "complete")
    received = Path(scene.bitsd.target("/file")).read_bytes()
    assert received == scene.origin.scripts["/file"].content.read()


async def test_nothing_is_offered_before_it_is_asked_for_and_nothing_to_the_wrong_one(scene: Scene) -> None:
    job = await scene.bitsd.create(scene.origin.url("/file"), resume=False, priority="FOREGROUND")
    await scene.bitsd.ok("PATCH", f"/v1/jobs/{job['id']}", {"proxy": {"usage": "OVERRIDE", "list": scene.proxy.url}})
    await scene.give(job, "proxy", PROXY)
    await scene.give(job, "server", ORIGIN)
    await scene.bitsd.act(job, "resume")
    await scene.bitsd.wait(job, "TRANSFERRED")
    assert "authorization" not in scene.origin.requests[0].headers
    assert "authorization" in scene.origin.requests[1].headers
    assert "proxy-authorization" not in scene.proxy.requests[0].headers
    assert all("proxy-authorization" not in request.headers for request in scene.origin.requests)
    assert all("authorization" not in request.headers for request in scene.proxy.requests)
    assert {request.method for request in scene.proxy.requests} == {"CONNECT"}
