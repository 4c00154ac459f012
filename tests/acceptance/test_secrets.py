"""Secrets planted in a real service by every way in, and looked for everywhere: files, log, events, documents, `ps`."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.planted import HEADERS, URLS, USER, Planted
from tests.acceptance.raw import Asker, asker, public_home, request, send
from tests.forward_proxy import ForwardProxy
from tests.origin import Origin
from tests.origin_auth import Auth
from tests.origin_tls import Certificates
from tests.process import Bitsd, Document

IS_ROOT = os.geteuid() == 0
OWNER = 60001
DEBUG = {"BITSD_DAEMON__LOG_LEVEL": "debug"}
SIZE = 100_000
NOTHING: frozenset[str] = frozenset()
OWN_HEADERS = frozenset({"custom_headers"})
"""Shown to the owner alone, until they are write-only."""


@dataclass
class Scene:
    """A service at debug level, another user's jobs in it (our own, when we may not be anybody else), and servers."""

    bitsd: Bitsd
    owner: Asker
    origin: Origin
    elsewhere: Origin
    secure: Origin
    proxy: ForwardProxy
    planted: Planted = field(default_factory=Planted)
    paths: dict[str, str] = field(default_factory=dict)
    """Of the jobs, by name."""

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Document:
        """As the owner of the jobs; must succeed, and tell no more than an owner may see."""
        status, document = await self.owner.call(method, path, body, headers)
        assert status < 300, document
        assert self.planted.found_in_documents([document], but=URLS | OWN_HEADERS) == set()
        return document or {}

    async def create(self, name: str, *urls: str, mirrors: Sequence[str] = (), **properties: object) -> str:
        """A suspended job; returns its path."""
        files = [{"remote_name": url, "local_name": self.bitsd.target(f"/{name}{at}")} for at, url in enumerate(urls)]
        body = {"display_name": name, "files": [files[0] | {"mirrors": [*mirrors]}, *files[1:]]} | properties
        job = await self.ask("POST", "/v1/jobs", body, **{"Idempotency-Key": name})
        self.paths[name] = f"/v1/jobs/{job['id']}"
        return self.paths[name]

    async def settle(self, name: str, state: str) -> Document:
        """The job, resumed, once it is in that state."""
        await self.ask("POST", f"{self.paths[name]}/resume")
        job = await self.ask("GET", f"{self.paths[name]}/wait?until={state},ERROR&timeout=30")
        assert job["state"] == state, job
        return job

    def url(self, origin: Origin, path: str, password: str = "", token: str = "") -> str:
        """With a password and a token that are planted."""
        address = origin.url(path + (f"?sig={self.planted[token]}" if token else ""))
        return address.replace("//", f"//{self.planted.userinfo(password)}") if password else address

    async def sweep(self) -> None:
        """Look everywhere."""
        bitsd, planted = self.bitsd, self.planted
        assert planted.found_on_disk(bitsd.home) == {}
        assert planted.found_in_process(bitsd.pid) == set()
        listed = await self.ask("GET", "/v1/jobs?include=files")
        assert planted.found_in_documents([listed]) <= {*HEADERS[:3]}
        assert planted.found_in_documents([await self.ask("GET", "/v1/events?limit=10000")], but=NOTHING) == set()
        if IS_ROOT:
            seen = [await bitsd.ok("GET", "/v1/jobs?all_users=true&include=files")]
            for path in self.paths.values():
                seen += [await bitsd.ok("GET", f"{path}?include=files"), await bitsd.ok("GET", f"{path}/files/0")]
            assert planted.found_in_documents(seen) == set()
            events = await bitsd.ok("GET", "/v1/events?all_users=true&limit=10000")
            assert planted.found_in_documents([events], but=NOTHING) == set()


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with public_home() as home:
        bitsd, certificates = Bitsd(home, **DEBUG), Certificates()
        (home / "downloads").chmod(0o1777)
        bitsd.environment["BITSD_TRANSFER__CA_BUNDLE"] = certificates.write_bundle(tmp_path)
        async with (
            Origin() as origin,
            Origin() as elsewhere,
            Origin(tls=certificates.server()) as secure,
            ForwardProxy(auth=Auth(schemes=("Digest", "Basic"))) as proxy,
            bitsd,
            asker(bitsd, OWNER) as owner,
        ):
            yield Scene(bitsd, owner, origin, elsewhere, secure, proxy)


async def plant(on: Scene) -> None:
    """Every secret into a job that uses it, and fails by it; one job is left in the middle of its transfer."""
    secret = on.planted
    on.origin.file("/private", size=SIZE, auth=Auth(schemes=("Digest", "Basic")))
    lines = [f"Authorization: Bearer {secret['Authorization']}", f"Cookie: sid={secret['Cookie']}"]
    headers = "".join(f"{line}\r\n" for line in [*lines, f"X-Api-Key: {secret['X-Api-Key']}"])
    url = on.url(on.origin, "/private", token="token in a query")
    path = await on.create("login", url, custom_headers=headers)
    for scheme in ("basic", "digest"):
        await on.ask("PUT", f"{path}/credentials/server/{scheme}", secret.login("server password"))
    job = await on.settle("login", "ERROR")
    assert job["error"]["code"] == "BG_E_HTTP_ERROR_401"
    assert on.origin.requests[0].headers["x-api-key"] == secret["X-Api-Key"]

    rule = {"usage": "OVERRIDE", "list": on.proxy.url}
    path = await on.create("proxied", url, proxy=rule)
    for scheme in ("basic", "digest"):
        await on.ask("PUT", f"{path}/credentials/proxy/{scheme}", secret.login("proxy password"))
    assert (await on.settle("proxied", "ERROR"))["error"]["code"] == "BG_E_HTTP_ERROR_407"

    there = on.url(on.elsewhere, "/there", token="token in a query")
    on.origin.file("/go", redirect=there)
    on.elsewhere.file("/mirror", size=SIZE, auth=Auth(password="another"))
    mirror = on.url(on.elsewhere, "/mirror", "password in a mirror", "token in the query of a mirror")
    go = on.url(on.origin, "/go", "password in a URL", "token in a query")
    for name, policy in (("moved", "REDIRECT_ALLOW_REPORT"), ("kept", "REDIRECT_DISALLOW")):
        await on.create(name, go, mirrors=[mirror], security_flags=[policy])
        await on.settle(name, "ERROR")

    await on.create("lost", go.replace("127.0.0.1", "nobody.invalid"), custom_headers=headers)
    await on.settle("lost", "TRANSIENT_ERROR")

    on.secure.file("/certified", statuses=[403] * 100)
    path = await on.create("certified", on.url(on.secure, "/certified", token="token in a query"))
    await on.ask("PUT", f"{path}/client-certificate", secret.certificate)
    assert (await on.settle("certified", "ERROR"))["error"]["code"] == "BG_E_HTTP_ERROR_403"

    on.origin.file("/slow", size=SIZE, stall_after=1000)
    hidden = f"X-Hidden: {secret['header only to be written']}\r\n"
    slow = on.url(on.origin, "/slow", token="token in a query")
    await on.create("slow", slow, custom_headers=hidden, custom_headers_write_only=True, priority="FOREGROUND")
    await on.settle("slow", "TRANSFERRING")
    await on.origin.stalled.wait()


async def move(on: Scene) -> None:
    """The same secrets by the calls that change URLs, and as files added later."""
    for token in ("token in a query", "token in the query of a mirror"):
        url = on.url(on.elsewhere, "/x", "password in a URL", token)
        await on.ask("PATCH", f"{on.paths['lost']}/files/0", {"remote_name": url})
    old, new = on.origin.url("/go"), on.url(on.elsewhere, "/x", "password in a mirror")
    await on.ask("POST", f"{on.paths['kept']}/replace-remote-prefix", {"old": old, "new": new})
    file = {"remote_name": on.url(on.origin, "/more", "password in a URL", "token in a query")}
    file["local_name"] = on.bitsd.target("/more")
    await on.ask("POST", f"{on.paths['login']}/files", {"files": [file]})
    await on.ask("PATCH", on.paths["login"], {"custom_headers": f"X-Api-Key: {on.planted['X-Api-Key']}\r\n"})


def refusals(secret: Planted, path: str) -> list[bytes]:
    """Requests with secrets that are refused: on a job of the sender's own."""
    login, many = secret.login("server password"), secret["server password"] * 3000
    credentials, certificate = f"{path}/credentials/server/basic", f"{path}/client-certificate"
    userinfo = secret.userinfo("password in a URL")
    header, token = secret["Authorization"], secret["token in a query"]
    key = secret.certificate["private_key"]
    stranger = Certificates().client()["certificate"]
    bodies: list[tuple[str, str, object]] = [
        ("PUT", credentials, login | {"user": ""}),
        ("PUT", credentials, login | {"user": None}),
        ("PUT", credentials, login | {"user": login["password"] + ":"}),
        ("PUT", credentials, login | {"password": [login["password"]]}),
        ("PUT", credentials, login | {"password": {"is": login["password"]}}),
        ("PUT", credentials, login | {"password": login["password"] + "\n"}),
        ("PUT", credentials, login | {"pass": login["password"]}),
        ("PUT", credentials, {"user": many, "password": many}),
        ("PUT", credentials, {"user": USER, "password": many}),
        ("PUT", credentials, [login]),
        ("PUT", f"{path}/credentials/server/ntlm", login),
        ("PUT", f"{path}/credentials/everybody/basic", login),
        ("PUT", "/v1/jobs/none/credentials/server/basic", login),
        ("PATCH", credentials, login),
        ("POST", f"/v1/nothing?token={token}", login),
        ("GET", f"/v1/jobs?token={token}", None),
        ("PUT", certificate, {"certificate": stranger, "private_key": key}),
        ("PUT", certificate, {"certificate": key, "private_key": key}),
        ("PUT", certificate, {"certificate": stranger, "private_key": key.replace("\n", " ")}),
        ("PUT", certificate, {"certificate": stranger, "private_key": key * 1000}),
        ("PUT", certificate, {"certificate": stranger, "key": key}),
        ("PUT", certificate, {"certificate": stranger, "private_key": [key]}),
    ]
    line = f"A: {header}\r\n"
    wrong = [
        f"Authorization {header}\r\n",
        f"A: {header}\x01\r\n",
        f"Range: {header}\r\n",
        line * 2,
        line * 1000,
        [line],
    ]
    bodies += [("PATCH", path, {"custom_headers": text}) for text in wrong]
    proxies = f"http://{userinfo}proxy:3128"
    bodies.append(("PATCH", path, {"proxy": {"usage": "OVERRIDE", "list": proxies}}))
    bodies.append(("PATCH", path, {"proxy": {"usage": "OVERRIDE", "list": "http://proxy", "bypass": proxies}}))
    for url in (
        f"ftp://{userinfo}h/f?{token}",
        f"http://{userinfo}/f?{token}",
        f"http://{userinfo}h:99999/f?{token}",
        f"http://{userinfo}h/f ?{token}",
        f"http://{userinfo}[h/f?{token}",
        f"http://{userinfo.replace(USER, '')}h/f",
        f"http://{userinfo.replace('@', '%FF@')}h/f",
        f"http://{userinfo.replace('@', '%0A@')}h/f",
        f"http://{userinfo}h/{token * 1000}",
        userinfo,
    ):
        file = {"remote_name": "http://h/f", "local_name": "/tmp/f"}
        bodies += [("POST", f"{path}/files", {"files": [file | {"remote_name": url}]})]
        bodies += [("POST", f"{path}/files", {"files": [file | {"mirrors": [url]}]})]
        bodies += [("PATCH", f"{path}/files/0", {"remote_name": url})]
        bodies += [("POST", f"{path}/replace-remote-prefix", {"old": "http://127.0.0.1:1/", "new": url})]
    two = [f"http://{userinfo}h/f", f"http://{userinfo.replace('@', 'x@')}h/f"]
    files = [{"remote_name": url, "local_name": f"/tmp/f{at}"} for at, url in enumerate(two)]
    bodies += [("POST", f"{path}/files", {"files": files}), ("POST", "/v1/jobs", {"display_name": "a", "files": files})]
    requests = [request(method, where, json.dumps(body).encode()) for method, where, body in bodies]
    return requests + broken(login["password"], credentials, header)


def broken(password: str, path: str, header: str) -> list[bytes]:
    """Requests whose JSON, or whose HTTP, is broken around a secret."""
    whole = json.dumps({"user": USER, "password": password}).encode()
    texts = [whole[:-1], whole + b"x", whole.replace(b"}", b",}"), b'{"user": ' + password.encode() + b"}"]
    texts += [whole.replace(b': "', b': "' + bad) for bad in (b"\x01", b"\\ud800", b"\xff")]
    found = [request("PUT", path, text) for text in texts]
    found.append(request("PUT", path, whole, Content_Length="5", Connection="keep-alive"))
    found.append(request("PUT", path, whole, Content_Length="-5"))
    chunked = [request("PUT", where, None, Transfer_Encoding="chunked") for where in (path, "/v1/nothing")]
    found += [head + whole for head in chunked] + [head + b"1\r\nx\r\n" + whole for head in chunked]
    found.append(request("GET", "/v1", Authorization=f"{header}\x00"))
    found.append(request("GET", "/v1").replace(b"Host", f"{header} Host".encode()))
    return found


async def test_planted_secrets_are_found_nowhere(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await plant(on)
        await on.sweep()
        await move(on)
        await on.bitsd.kill()
        assert on.planted.found_on_disk(on.bitsd.home) == {}
        await on.bitsd.start()
        await on.ask("GET", f"{on.paths['slow']}/wait?until=TRANSFERRED")
        assert on.origin.requests[-1].headers["x-hidden"] == on.planted["header only to be written"]
        await on.sweep()
        for name, path in on.paths.items():
            await on.ask("POST", f"{path}/{'complete' if name in {'slow', 'login'} else 'cancel'}")
        await on.sweep()
        await on.bitsd.signal(signal.SIGTERM)
        assert on.planted.found_on_disk(on.bitsd.home) == {}
        with closing(sqlite3.connect(on.bitsd.home / "state" / "queue.sqlite")) as database:
            assert database.execute("SELECT count(*) FROM secrets").fetchone() == (0,)


async def test_a_refusal_repeats_no_secret_and_leaves_none(tmp_path: Path) -> None:
    secret = Planted()
    async with Bitsd(tmp_path, **DEBUG) as bitsd:
        job = await bitsd.create("http://127.0.0.1:1/a", resume=False)
        before = await bitsd.job(job, include="files")
        for data in refusals(secret, f"/v1/jobs/{job['id']}"):
            answer = await send(bitsd, data, is_end=True)
            assert answer.status == 0 or answer.status >= 400, (data, answer)
            assert secret.found(answer.body) == set(), (data, answer.body)
        assert await bitsd.job(job, include="files") == before
        assert secret.found_on_disk(bitsd.home) == {}
        assert "Traceback" not in bitsd.log


async def test_a_key_that_was_used_for_other_secrets_is_a_conflict_without_them(tmp_path: Path) -> None:
    secret, key = Planted(), {"Idempotency-Key": "once"}
    bodies = [{"display_name": "a", "custom_headers": f"X: {secret[name]}\r\n"} for name in HEADERS[:2]]
    async with Bitsd(tmp_path, **DEBUG) as bitsd:
        (first, _), (again, job), (other, problem) = [
            await bitsd.call("POST", "/v1/jobs", body, headers=key) for body in (bodies[0], *bodies)
        ]
        assert (first, again, other) == (201, 201, 409)
        assert secret.found_in_documents([problem], but=NOTHING) == set()
        assert secret.found_in_documents([job], but=OWN_HEADERS) == set()
        assert secret.found_on_disk(bitsd.home) == {}


def key_of(bitsd: Bitsd) -> Path:
    return bitsd.home / "state" / "secret.key"


async def test_the_key_is_the_services_alone_and_outlives_it(tmp_path: Path) -> None:
    async with Bitsd(tmp_path) as bitsd:
        facts, key = key_of(bitsd).stat(), key_of(bitsd).read_bytes()
        assert (facts.st_mode & 0o777, facts.st_size, facts.st_uid) == (0o600, 32, os.geteuid())
        job = await bitsd.create(custom_headers="X: y\r\n")
        await bitsd.kill()
        await bitsd.start()
        assert key_of(bitsd).read_bytes() == key
        assert (await bitsd.job(job))["custom_headers"] == "X: y\r\n"


@pytest.mark.parametrize("flaw", ["readable by the group", "readable by all", "short", "a link", "a directory"])
async def test_a_key_that_cannot_be_trusted_stops_the_start_and_is_named(tmp_path: Path, flaw: str) -> None:
    async with Bitsd(tmp_path) as bitsd:
        await bitsd.create(custom_headers="X: y\r\n")
    key = key_of(bitsd)
    match flaw:
        case "readable by the group":
            key.chmod(0o640)
        case "readable by all":
            key.chmod(0o604)
        case "short":
            key.write_bytes(b"short")
        case "a link":
            key.symlink_to(key.rename(tmp_path / "elsewhere"))
        case _:
            key.unlink()
            key.mkdir()
    state = tmp_path / "state"
    before = {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()}
    (tmp_path / "log").unlink()
    process = await bitsd.spawn()
    try:
        assert await asyncio.wait_for(process.wait(), 60) == 2
    finally:
        if process.returncode is None:
            process.kill()
    assert f"bitsd: cannot use {key}: " in bitsd.log
    assert len(bitsd.log.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in state.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("fate", ["lost", "replaced"])
async def test_without_its_key_the_service_has_the_jobs_and_fetches_nothing_by_half_an_address(
    tmp_path: Path, fate: str
) -> None:
    async with Origin() as origin, Bitsd(tmp_path) as bitsd:
        origin.file("/a", size=SIZE, auth=Auth())
        origin.file("/b", size=SIZE)
        login = {"user": "ann", "password": "pass word:1"}
        headed = await bitsd.create(origin.url("/b"), custom_headers="X: y\r\n", resume=False)
        signed = await bitsd.create(origin.url("/b?sig=1"), resume=False)
        plain = await bitsd.create(origin.url("/b"), resume=False)
        private = await bitsd.create(origin.url("/a"), resume=False)
        await bitsd.ok("PUT", f"/v1/jobs/{private['id']}/credentials/server/basic", login)
        await bitsd.kill()
        key_of(bitsd).unlink() if fate == "lost" else key_of(bitsd).write_bytes(bytes(32))
        await bitsd.start()
        assert [line for line in bitsd.log.splitlines() if "WARNING" in line and "key" in line][1:] == []
        assert bitsd.log.count("WARNING") == 1
        assert " 3 jobs " in bitsd.log
        for job in (headed, signed, private):
            found = await bitsd.job(job)
            assert (found["state"], found["error"]["code"], found["custom_headers"]) == ("ERROR", "SECRETS_LOST", None)
        assert (await bitsd.job(plain))["state"] == "SUSPENDED"
        assert origin.requests == []
        await bitsd.ok("PUT", f"/v1/jobs/{private['id']}/credentials/server/basic", login)
        await bitsd.ok("PATCH", f"/v1/jobs/{signed['id']}/files/0", {"remote_name": origin.url("/b?sig=1")})
        for job in (signed, plain, private):
            await bitsd.act(job, "resume")
            await bitsd.wait(job, "TRANSFERRED")
        await bitsd.kill()
        await bitsd.start()
        assert bitsd.log.count("WARNING") == 1
