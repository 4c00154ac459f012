"""Credentials and client certificates of a job, over the real socket: who may set them, when, and what they do."""

import datetime as dt
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.acceptance.raw import asker, public_home
from tests.acceptance.stage import FINAL, LIVE, Stage, stage
from tests.forward_proxy import ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_tls import Certificates
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

IS_ROOT = os.geteuid() == 0
ANN, BOB = 60001, 60002
CERTIFICATES = Certificates()
CLIENT, OTHER = CERTIFICATES.client(), CERTIFICATES.client(is_known=False)
LOGIN = {"user": "ann", "password": "pass word:1"}
WRONG = {"user": "ann", "password": "w4ong"}
SECRET = "s3cret" * 4
SIZE = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    bundle = CERTIFICATES.write_bundle(tmp_path_factory.mktemp("roots"))
    with public_home() as home:
        async with Bitsd(home, BITSD_TRANSFER__CA_BUNDLE=bundle, BITSD_LIMITS__JOBS_PER_USER="0") as service:
            (home / "downloads").chmod(0o1777)
            yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


def place(job: Document, target: str = "server", scheme: str = "basic") -> str:
    return f"/v1/jobs/{job['id']}/credentials/{target}/{scheme}"


def certificate_of(job: Document) -> str:
    return f"/v1/jobs/{job['id']}/client-certificate"


async def told(bitsd: Bitsd, method: str, where: str, body: object = None) -> tuple[int, object]:
    """Status and document, if there is one."""
    return await bitsd.call(method, where, body)


async def with_login(bitsd: Bitsd, job: Document, target: str = "server", login: Document = LOGIN) -> None:
    for scheme in ("basic", "digest"):
        assert await told(bitsd, "PUT", place(job, target, scheme), login) == (204, None)


async def test_they_are_a_change_of_the_job_and_are_never_given_out(bitsd: Bitsd) -> None:
    job = await bitsd.create()
    assert await told(bitsd, "PUT", place(job, "SERVER", "Digest"), {"user": SECRET, "password": ""}) == (204, None)
    after = await bitsd.job(job)
    assert after["revision"] == job["revision"] + 1
    assert job | {"revision": after["revision"], "times": after["times"]} == after
    (event,) = await bitsd.events(job=job, types="JOB_MODIFIED")
    assert event.keys() == {"seq", "time", "type", "job_id"}
    status, problem = await bitsd.call("GET", place(job))
    assert (status, problem["code"]) == (405, "E_NOTIMPL")


async def test_what_is_removed_is_gone_and_what_is_not_there_is_told(bitsd: Bitsd) -> None:
    job = await bitsd.create()
    await with_login(bitsd, job)
    assert await told(bitsd, "DELETE", place(job)) == (204, None)
    for where in (place(job), place(job, "proxy", "digest")):
        status, problem = await bitsd.call("DELETE", where)
        assert (status, problem["code"], problem["hresult"]) == (404, "CREDENTIALS_NOT_FOUND", "0xA0D00008")
    assert await told(bitsd, "DELETE", place(job, scheme="digest")) == (204, None)
    for status in (204, 204):  # as RemoveClientCertificate
        assert await told(bitsd, "DELETE", certificate_of(job)) == (status, None)


@pytest.mark.parametrize(
    ("where", "body", "code", "field"),
    [
        ("client/basic", LOGIN, "BG_E_INVALID_AUTH_TARGET", "target"),
        ("server/bearer", LOGIN, "BG_E_INVALID_AUTH_SCHEME", "scheme"),
        *[(f"server/{scheme}", LOGIN, "E_NOTIMPL", "scheme") for scheme in ("ntlm", "Negotiate", "PASSPORT")],
        ("server/basic", {"user": "u" * 301, "password": SECRET}, "BG_E_USERNAME_TOO_LARGE", "user"),
        ("server/basic", {"user": "u", "password": SECRET * 3000}, "BG_E_PASSWORD_TOO_LARGE", "password"),
        ("server/basic", {"user": "", "password": SECRET}, "E_INVALIDARG", "user"),
        ("server/basic", {"user": None, "password": SECRET}, "E_INVALIDARG", "user"),
        ("server/basic", {"user": "u", "password": None}, "E_INVALIDARG", "password"),
        ("server/basic", {"user": "u"}, "E_INVALIDARG", "password"),
        ("server/basic", {"password": SECRET}, "E_INVALIDARG", "user"),
        ("server/basic", {"user": "u", "password": SECRET, "realm": SECRET}, "E_INVALIDARG", "realm"),
        ("server/basic", {"user": f"{SECRET}:", "password": SECRET}, "E_INVALIDARG", "user"),
        ("proxy/digest", {"user": f"{SECRET}\r\n", "password": SECRET}, "E_INVALIDARG", "user"),
        ("proxy/digest", {"user": "u", "password": f"{SECRET}\0"}, "E_INVALIDARG", "password"),
    ],
)
async def test_a_refusal_names_the_field_and_nothing_of_its_value(
    bitsd: Bitsd, where: str, body: Document, code: str, field: str
) -> None:
    job = await bitsd.create()
    status, problem = await bitsd.call("PUT", f"/v1/jobs/{job['id']}/credentials/{where}", body)
    assert (status, problem["code"], problem["field"]) == (400, code, field)
    assert SECRET not in str(problem)
    assert await bitsd.job(job) == job
    assert (await bitsd.call("DELETE", place(job)))[0] == 404


@pytest.mark.parametrize(
    "login",
    [
        {"user": "u" * 300, "password": "p" * 65_535},
        {"user": "ü", "password": ""},
        {"user": "a:b", "password": "c"},
    ],
)
async def test_the_longest_and_oddest_that_are_legal_are_taken(bitsd: Bitsd, login: Document) -> None:
    job = await bitsd.create()
    assert await told(bitsd, "PUT", place(job, scheme="digest"), login) == (204, None)


async def test_neither_another_user_nor_the_administrator_may_touch_them(bitsd: Bitsd) -> None:
    if not IS_ROOT:
        return  # there is nobody else
    async with asker(bitsd, ANN) as ann, asker(bitsd, BOB) as bob:
        job = await ann.ok("POST", "/v1/jobs", {"display_name": "a"})
        await ann.ok("PUT", place(job), LOGIN)
        await ann.ok("PUT", certificate_of(job), CLIENT)
        before = await bitsd.job(job)
        calls = [("PUT", place(job), LOGIN), ("DELETE", place(job), None)]
        calls += [("PUT", certificate_of(job), CLIENT), ("DELETE", certificate_of(job), None)]
        for method, where, body in calls:
            for status, problem in (await bob.call(method, where, body), await bitsd.call(method, where, body)):
                assert (status, problem["code"]) == (403, "E_ACCESSDENIED")
        assert await bitsd.job(job) == before
        assert (await bitsd.act(job, "take-ownership"))["client_certificate"] is None
        assert (await bitsd.call("DELETE", place(job)))[0] == 404


@pytest.mark.parametrize("state", LIVE)
async def test_they_are_set_in_every_state_that_is_not_final_and_disturb_nothing(scene: Stage, state: str) -> None:
    job = await scene.bring(state, left=0 if state == "TRANSFERRED" else 1)
    asked = len(scene.origin.requests)
    for method, where, body in (
        ("PUT", place(job), LOGIN),
        ("PUT", certificate_of(job), CLIENT),
        ("DELETE", place(job), None),
        ("DELETE", certificate_of(job), None),
    ):
        assert await told(scene.bitsd, method, where, body) == (204, None)
    after = await scene.settled(job)
    assert job | {"revision": job["revision"] + 4, "times": after["times"]} == after
    assert len(scene.origin.requests) == asked
    await scene.bitsd.act(job, "cancel")


@pytest.mark.parametrize("state", FINAL)
async def test_a_final_job_takes_none(scene: Stage, state: str) -> None:
    job = await scene.bring(state)
    for method, where, body in (
        ("PUT", place(job), LOGIN),
        ("DELETE", place(job), None),
        ("PUT", certificate_of(job), CLIENT),
        ("DELETE", certificate_of(job), None),
    ):
        status, problem = await scene.bitsd.call(method, where, body)
        assert (status, problem["code"], problem["state"]) == (409, "BG_E_INVALID_STATE", state)
    assert await scene.settled(job) == job


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
@pytest.mark.parametrize("first", [None, WRONG])
async def test_after_a_401_the_right_ones_and_a_resume_finish_the_job(
    bitsd: Bitsd, scheme: str, first: Document | None
) -> None:
    async with Origin() as origin:
        file = origin.file("/private", size=SIZE, auth=Auth(schemes=(scheme,)))
        job = await bitsd.create(origin.url("/private"), resume=False)
        if first is not None:
            await with_login(bitsd, job, login=first)
        await bitsd.act(job, "resume")
        error = (await bitsd.wait(job, "ERROR"))["error"]
        assert (error["code"], error["hresult"], error["http_status"]) == ("BG_E_HTTP_ERROR_401", "0x80190191", 401)
        await with_login(bitsd, job)
        assert (await bitsd.job(job))["state"] == "ERROR"
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/private")).read_bytes() == file.content.read()
        assert "authorization" not in origin.requests[0].headers  # offered only when asked for


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
async def test_a_proxy_and_a_server_over_tls_that_both_ask_are_both_answered(bitsd: Bitsd, scheme: str) -> None:
    auth, gate = Auth(schemes=(scheme,)), Auth(schemes=(scheme,), password="of the proxy")
    async with Origin(tls=CERTIFICATES.server()) as origin, ForwardProxy(auth=gate) as proxy:
        file = origin.file("/both", size=SIZE, auth=auth, rejects=("proxy-authorization",))
        rule = {"usage": "OVERRIDE", "list": proxy.url}
        job = await bitsd.create(origin.url("/both"), proxy=rule, resume=False)
        await with_login(bitsd, job)
        await bitsd.act(job, "resume")
        error = (await bitsd.wait(job, "ERROR"))["error"]
        assert (error["code"], error["hresult"]) == ("BG_E_HTTP_ERROR_407", "0x80190197")
        assert origin.requests == []
        await with_login(bitsd, job, "proxy", LOGIN | {"password": "of the proxy"})
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/both")).read_bytes() == file.content.read()
        assert not any("authorization" in request.headers for request in proxy.requests)


async def test_a_login_in_a_url_is_for_its_server_alone_and_leaves_the_url(bitsd: Bitsd) -> None:
    async with Origin() as origin, Origin() as elsewhere:
        for server in (origin, elsewhere):
            server.file("/p", size=SIZE, auth=Auth())
        url = origin.url("/p?a=b").replace("//", "//ann:pass%20word%3A1@")
        job = await bitsd.create(url, resume=False)
        files = (await bitsd.job(job, include="files"))["files"]
        assert [file["remote_name"] for file in files] == [origin.url("/p?a=b")]
        more = {"remote_name": elsewhere.url("/p"), "local_name": bitsd.target("/q")}
        await bitsd.ok("POST", f"/v1/jobs/{job['id']}/files", {"files": [more]})
        await bitsd.act(job, "resume")
        assert (await bitsd.wait(job, "ERROR"))["error"]["file_index"] == 1
        assert not any("authorization" in request.headers for request in elsewhere.requests)
        for file in ({"remote_name": url.replace("ann", "bob")}, {"mirrors": [url.replace("ann", "bob")]}):
            body = {"files": [more | {"local_name": bitsd.target("/r")} | file]}
            status, problem = await bitsd.call("POST", f"/v1/jobs/{job['id']}/files", body)
            assert (status, problem["code"]) == (400, "E_INVALIDARG")
            assert "bob" not in str(problem)
        moved = elsewhere.url("/p").replace("//", "//ann:pass%20word%3A1@")
        file = await bitsd.ok("PATCH", f"/v1/jobs/{job['id']}/files/1", {"remote_name": moved})
        assert file["remote_name"] == elsewhere.url("/p")
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")


async def test_a_client_certificate_is_shown_by_its_name_and_opens_the_server(bitsd: Bitsd) -> None:
    async with Origin(tls=CERTIFICATES.demanding(ssl.TLSVersion.TLSv1_3)) as origin:
        file = origin.file("/members", size=SIZE)
        job = await bitsd.create(origin.url("/members"))
        error = (await bitsd.wait(job, "ERROR"))["error"]
        assert (error["code"], error["hresult"]) == ("ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED", "0x80072F0C")
        assert await told(bitsd, "PUT", certificate_of(job), CLIENT) == (204, None)
        shown = (await bitsd.job(job))["client_certificate"]
        leaf = x509.load_pem_x509_certificate(CLIENT["certificate"].encode())
        assert shown["subject"] == leaf.subject.rfc4514_string()
        assert shown["sha1"] == leaf.fingerprint(SHA1()).hex()  # noqa: S303 - its name
        assert dt.datetime.fromisoformat(shown["not_after"]) == leaf.not_valid_after_utc
        await bitsd.act(job, "resume")
        await bitsd.wait(job, "TRANSFERRED")
        await bitsd.act(job, "complete")
        assert Path(bitsd.target("/members")).read_bytes() == file.content.read()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"certificate": ""}, "certificate"),
        ({"certificate": CLIENT["private_key"]}, "certificate"),
        ({"certificate": CLIENT["certificate"][:200]}, "certificate"),
        ({"certificate": CLIENT["certificate"] * 100}, "certificate"),
        ({"certificate": None}, "certificate"),
        ({"private_key": ""}, "private_key"),
        ({"private_key": CLIENT["certificate"]}, "private_key"),
        ({"private_key": OTHER["private_key"]}, "private_key"),
        ({"private_key": "encrypted"}, "private_key"),
        ({"private_key": ["a"]}, "private_key"),
        ({"passphrase": "a"}, "passphrase"),
    ],
)
async def test_a_certificate_that_cannot_work_is_refused_at_once(bitsd: Bitsd, changes: Document, field: str) -> None:
    if changes.get("private_key") == "encrypted":
        key = load_pem_private_key(CLIENT["private_key"].encode(), None)
        sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        changes = {"private_key": sealed.decode()}
    job = await bitsd.create()
    status, problem = await bitsd.call("PUT", certificate_of(job), CLIENT | changes)
    assert (status, problem["code"], problem["field"]) == (400, "E_INVALIDARG", field)
    assert len(str(problem)) < 400
    assert await bitsd.job(job) == job


async def test_a_proxy_list_holds_no_login(bitsd: Bitsd) -> None:
    job = await bitsd.create()
    proxy = {"usage": "OVERRIDE", "list": f"http://ann:{SECRET}@127.0.0.1:3128"}
    status, problem = await bitsd.call("PATCH", f"/v1/jobs/{job['id']}", {"proxy": proxy})
    assert (status, problem["code"], problem["field"]) == (400, "E_INVALIDARG", "proxy.list")
    assert "credentials/proxy" in problem["detail"]
    assert SECRET not in str(problem)
