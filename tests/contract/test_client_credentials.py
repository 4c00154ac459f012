"""How secrets come into `bitsctl`, where they go to, and that they are shown nowhere on the way."""

import asyncio
import getpass
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.client import Client
from daemon.client.cli import GROUPS, app
from daemon.client.fetch import Ending, Fetch, Login
from daemon.client.progress import LineView
from tests.fake_service import FakeService, problem, progress, serving

PASSWORD = "pass wörd:1 "
DONE = {"state": "TRANSFERRED", "progress": progress(100, 100)}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    with serving(FakeService(str(tmp_path / "s"))) as fake:
        yield fake


def bitsctl(service: FakeService, words: Sequence[str], typed: str | None = None) -> Result:
    """In a thread: `asyncio.run` would take this one's event loop away from pytest-asyncio."""
    arguments = ["--socket", service.socket_path, *words]
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, arguments, prog_name="bitsctl", input=typed).result()


def sent(service: FakeService) -> list[tuple[str, str, object]]:
    """Every change that was asked for: method, what follows the job in the path, body."""
    changes = [request for request in service.requests if request.method != "GET"]
    return [(request.method, request.path.partition("/v1/jobs/")[2][37:], request.body) for request in changes]


@pytest.mark.parametrize("source", ["stdin", "file", "stdin without a line end"])
def test_a_password_comes_from_stdin_or_a_file_and_is_sent_as_it_is(
    service: FakeService, tmp_path: Path, source: str
) -> None:
    job = service.add_job("a")
    words, typed = ["--password-stdin"], PASSWORD
    if source == "file":
        (tmp_path / "p").write_text(f"{PASSWORD}\n")
        words, typed = ["--password-file", str(tmp_path / "p")], ""
    elif source == "stdin":
        typed += "\r\n"
    where = ["--target", "proxy", "--scheme", "digest", "--user", "ann"]
    result = bitsctl(service, ["credentials", "set", "a", *where, *words], typed)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{job['id']}  SUSPENDED  a\n", "")
    assert sent(service) == [("PUT", "credentials/proxy/digest", {"user": "ann", "password": PASSWORD})]


@pytest.mark.parametrize("verb", [["credentials", "set", "a"], ["get", "http://h/a", "--background"]])
def test_a_password_is_asked_for_on_a_terminal(
    service: FakeService, verb: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    job = service.add_job("a")
    monkeypatch.setattr(getpass, "getpass", answer)  # which turns the echo off
    monkeypatch.setattr("daemon.client.credentials.has_terminal", lambda: True)
    assert bitsctl(service, [*verb, "--user", "ann"]).exit_code == 0
    assert asked == ["Password of ann: "]
    assert {"user": "ann", "password": PASSWORD} in [body for _, _, body in sent(service)], job


@pytest.mark.parametrize("verb", [["credentials", "set", "a"], ["get", "http://h/a"]])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--password-file"),
        (["--password-file", "/none"], "cannot read /none"),
        (["--password-file", "/none", "--password-stdin"], "one of"),
    ],
)
def test_without_a_password_nothing_is_asked_of_the_service(
    service: FakeService, verb: list[str], words: list[str], told: str
) -> None:
    service.add_job("a")
    result = bitsctl(service, [*verb, "--user", "ann", *words])
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert service.requests == []


def test_a_password_without_a_user_is_a_mistake(service: FakeService) -> None:
    for words in (["--password-stdin"], ["--user", "", "--password-stdin"], ["--password-file", "/none"]):
        result = bitsctl(service, ["get", "http://h/a", *words], PASSWORD)
        assert (result.exit_code, "give --user NAME" in result.stderr) == (2, True)
    assert service.requests == []


def test_a_password_is_no_argument(service: FakeService) -> None:
    for verb in (["credentials", "set", "a"], ["get", "http://h/a"]):
        assert bitsctl(service, [*verb, "--user", "ann", "--password", PASSWORD]).exit_code == 2
    assert service.requests == []


def test_both_schemes_are_meant_unless_one_is_named(service: FakeService) -> None:
    service.add_job("a")
    words = ["credentials", "set", "a", "--user", "ann", "--password-stdin"]
    assert bitsctl(service, words, PASSWORD).exit_code == 0
    assert bitsctl(service, [*words, "--scheme", "digest"], PASSWORD).exit_code == 0
    paths = [path for _, path, _ in sent(service)]
    assert paths == ["credentials/server/basic", "credentials/server/digest", "credentials/server/digest"]


def test_credentials_and_certificate_are_removed(service: FakeService) -> None:
    service.add_job("a")
    assert bitsctl(service, ["credentials", "clear", "a", "--scheme", "basic"]).exit_code == 0
    assert bitsctl(service, ["credentials", "clear", "a", "--target", "proxy"]).exit_code == 0
    assert bitsctl(service, ["certificate", "clear", "a"]).exit_code == 0
    paths = ["server/basic", "proxy/basic", "proxy/digest"]
    removed = [("DELETE", f"credentials/{path}", None) for path in paths]
    assert sent(service) == [*removed, ("DELETE", "client-certificate", None)]


@pytest.mark.parametrize(("missing", "exit_code"), [(("basic",), 0), (("basic", "digest"), 3)])
def test_nothing_to_remove_is_told_only_when_there_was_nothing_at_all(
    service: FakeService, missing: Sequence[str], exit_code: int
) -> None:
    job = service.add_job("a")
    for scheme in missing:
        document = problem(404, "CREDENTIALS_NOT_FOUND", f"the job has no {scheme} credentials for the server")
        service.answer("DELETE", f"/v1/jobs/{job['id']}/credentials/server/{scheme}", 404, document)
    result = bitsctl(service, ["credentials", "clear", "a"])
    assert (result.exit_code, "no basic credentials" in result.stderr) == (exit_code, exit_code == 3)


@pytest.mark.parametrize("words", [["credentials", "clear"], ["certificate", "clear"]])
def test_json_is_the_job_as_it_is_now(service: FakeService, words: list[str]) -> None:
    job = service.add_job("a")
    result = bitsctl(service, ["--json", *words, "a"])
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, job, "")


def test_show_tells_whose_certificate_it_is(service: FakeService) -> None:
    shown = {"subject": "CN=ann\x1b[31m", "sha1": "ab" * 20, "not_after": "2030-06-01T12:00:00Z"}
    service.add_job("a", client_certificate=shown)
    service.add_job("b")
    assert "CN=ann\\x1b[31m, valid until 2030-06-01" in bitsctl(service, ["show", "a"]).stdout
    assert "certificate" not in bitsctl(service, ["show", "b"]).stdout


def test_a_certificate_is_read_with_the_rights_of_the_caller(service: FakeService, tmp_path: Path) -> None:
    service.add_job("a")
    (tmp_path / "c").write_text("chain\n")
    (tmp_path / "k").write_text("key\n")
    words = ["certificate", "set", "a", "--certificate", str(tmp_path / "c")]
    result = bitsctl(service, [*words, "--key", str(tmp_path / "k")])
    assert result.exit_code == 0
    assert sent(service) == [("PUT", "client-certificate", {"certificate": "chain\n", "private_key": "key\n"})]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path / "binary", "it is not text")):
        result = bitsctl(service, [*words, "--key", str(path)])
        assert (result.exit_code, f"cannot read {path}: {why}" in result.stderr) == (2, True)


def test_a_refusal_has_its_exit_code_and_shows_no_secret(service: FakeService) -> None:
    job = service.add_job("a")
    path = f"/v1/jobs/{job['id']}/credentials/server/ntlm"
    service.answer("PUT", path, 400, problem(400, "E_NOTIMPL", "cannot use the scheme ntlm", field="scheme"))
    words = ["credentials", "set", "a", "--scheme", "ntlm", "--user", "ann", "--password-stdin"]
    result = bitsctl(service, words, PASSWORD)
    assert (result.exit_code, "cannot use the scheme ntlm" in result.stderr) == (2, True)
    assert PASSWORD.strip() not in result.output


async def test_a_download_with_a_login_starts_only_when_the_job_has_it(service: FakeService) -> None:
    service.steps.append(DONE)
    async with Client(service.socket_path) as client:
        fetch = Fetch(client, LineView(StringIO(), time.monotonic), asyncio.Event(), poll=0)
        result = await fetch.run({"display_name": "a", "resume": True}, Login("ann", PASSWORD))
    assert result.ending is Ending.ACKNOWLEDGED
    login = {"user": "ann", "password": PASSWORD}
    assert sent(service) == [
        ("POST", "", {"display_name": "a", "resume": False}),
        ("PUT", "credentials/server/basic", login),
        ("PUT", "credentials/server/digest", login),
        ("POST", "resume", None),
        ("POST", "complete", None),
    ]


def test_a_get_whose_credentials_are_refused_leaves_no_job(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(client: Client, *_: str) -> None:
        await client.resume("none")

    (tmp_path / "p").write_text("")
    monkeypatch.setattr(Client, "set_credentials", refuse)
    words = ["get", "http://h/a", "--background", "--user", "ann", "--password-file", str(tmp_path / "p")]
    assert bitsctl(service, words).exit_code == 3
    assert [job["state"] for job in service.jobs.values()] == ["CANCELLED"]


def test_groups_answer_with_their_help(service: FakeService) -> None:
    for group in GROUPS:
        result = bitsctl(service, [group, "--help"])
        assert (result.exit_code, "set" in result.stdout, "clear" in result.stdout) == (0, True, True)


def test_the_process_list_does_not_show_a_password(service: FakeService, tmp_path: Path) -> None:
    service.add_job("a")
    reading, writing = os.pipe()
    words = ["--socket", service.socket_path, "credentials", "set", "a", "--user", "ann", "--password-stdin"]
    with subprocess.Popen([sys.executable, "-m", "daemon.client", *words], stdin=reading) as process:
        os.close(reading)
        os.write(writing, PASSWORD.encode())
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
        os.close(writing)
    assert process.returncode == 0
    assert PASSWORD.encode() not in shown
