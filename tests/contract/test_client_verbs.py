"""`bitsctl` against a service that speaks api.md: which job is meant, what is printed, and the exit code."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.client.cli import VERBS, app
from tests.fake_service import NOW, FakeService, error_document, file_document, problem, progress, serving


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    with serving(FakeService(str(tmp_path / "s"))) as fake:
        yield fake


def bitsctl(service: FakeService, *words: str) -> Result:
    return invoke(["--socket", service.socket_path, *words])


def invoke(words: list[str], **environment: str) -> Result:
    """Run it in a thread: `asyncio.run` would take this one's event loop away from pytest-asyncio."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, words, prog_name="bitsctl", env=environment).result()


def test_list_is_an_aligned_table_without_escape_sequences(service: FakeService) -> None:
    first = service.add_job("a\x1b[31mb", state="TRANSFERRING", progress=progress(512, 1024))
    service.add_job("c", state="QUEUED", progress=progress(2048, None))
    result = bitsctl(service, "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "PRIORITY", "PROGRESS", "NAME"]
    assert lines[1] == f"{first['id'][:8]}  TRANSFERRING  NORMAL    50% of 1.0 KiB  a\\x1b[31mb"
    assert lines[2].split()[1:] == ["QUEUED", "NORMAL", "2.0", "KiB", "c"]


def test_list_passes_its_filters_on(service: FakeService) -> None:
    service.add_job("a", state="ERROR")
    service.add_job("b", state="ERROR")
    service.is_admin = True
    result = bitsctl(service, "list", "--state", "error,queued", "--name", "a*", "--all-users")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["NAME", "a"]
    assert "OWNER" in result.stdout


@pytest.mark.parametrize("words", [("--json", "list"), ("list", "--json")])
def test_json_lists_are_one_whole_document_a_line(service: FakeService, words: tuple[str, ...]) -> None:
    jobs = [service.add_job("a"), service.add_job("b")]
    result = bitsctl(service, *words)
    assert [json.loads(line) for line in result.stdout.splitlines()] == jobs
    assert result.stderr == ""


def test_json_documents_are_those_of_the_service(service: FakeService) -> None:
    job = service.add_job("a")
    service.files[job["id"]] = [file_document(0, "http://h/a", "/tmp/a")]
    service.events = [{"seq": 1, "time": NOW, "type": "JOB_STATE", "job_id": job["id"], "from": "A", "to": "B"}]
    assert json.loads(bitsctl(service, "--json", "show", "a").stdout) == job
    assert json.loads(bitsctl(service, "--json", "files", "a").stdout) == service.files[job["id"]][0]
    assert json.loads(bitsctl(service, "--json", "events").stdout) == service.events[0]
    assert json.loads(bitsctl(service, "--json", "monitor", "--once").stdout)["id"] == job["id"]
    assert json.loads(bitsctl(service, "--json", "status").stdout)["version"] == "0.1.0"
    assert json.loads(bitsctl(service, "--json", "cancel", "a").stdout) == {**job, "result": "S_OK"}


def test_show_tells_the_error_and_the_waiting_reason(service: FakeService) -> None:
    service.add_job("bad", state="ERROR", error=error_document("the server said no"), error_count=2)
    waiting = {"reason": "slots", "until": None, "detail": "4 jobs run"}
    service.add_job("slow", state="QUEUED", waiting=waiting)
    bad, slow = bitsctl(service, "show", "bad").stdout, bitsctl(service, "show", "slow", "--files").stdout
    assert "the server said no" in bad
    assert "0x80190194" in bad
    assert "4 jobs run" in slow


@pytest.mark.parametrize("length", [4, 8, 13, 36])
def test_a_job_is_found_by_the_start_of_its_id(service: FakeService, length: int) -> None:
    job = service.add_job("a", id="0123abcd-89ab-4def-8123-456789abcdef")
    service.add_job("b", id="fedcba98-89ab-4def-8123-456789abcdef")
    assert bitsctl(service, "suspend", job["id"][:length].upper()).exit_code == 0
    assert service.calls("POST", "/suspend")[0].path.split("/")[3] == job["id"]


def test_a_full_id_is_used_without_looking_for_it(service: FakeService) -> None:
    job = service.add_job("a", state="ACKNOWLEDGED")
    assert bitsctl(service, "show", job["id"]).exit_code == 0
    assert not service.calls("GET", "/jobs")


def test_a_name_of_several_jobs_is_refused_with_the_candidates(service: FakeService) -> None:
    ids = [service.add_job("same")["id"] for _ in range(2)]
    result = bitsctl(service, "cancel", "same")
    assert result.exit_code == 2
    assert all(job_id in result.stderr for job_id in ids)
    assert not service.calls("POST", "/cancel")


def test_three_characters_are_no_prefix_and_no_job_is_exit_3(service: FakeService) -> None:
    job = service.add_job("a")
    result = bitsctl(service, "show", job["id"][:3])
    assert result.exit_code == 3
    assert "bitsctl list" in result.stderr


def test_jobs_of_others_are_found_only_when_no_own_job_fits(service: FakeService) -> None:
    foreign, own = service.add_job("both"), service.add_job("both")
    only_foreign = service.add_job("theirs")
    service.foreign = {foreign["id"], only_foreign["id"]}
    assert bitsctl(service, "suspend", "theirs").exit_code == 3
    service.is_admin = True
    assert bitsctl(service, "suspend", "both", "theirs").exit_code == 0
    assert [call.path.split("/")[3] for call in service.calls("POST", "/suspend")] == [own["id"], only_foreign["id"]]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "E_INVALIDARG", 2),
        (404, "BG_E_NOT_FOUND", 3),
        (403, "E_ACCESSDENIED", 4),
        (409, "BG_E_INVALID_STATE", 5),
        (503, "E_STARTING", 6),
        (507, "E_FULL", 1),
    ],
)
def test_every_kind_of_refusal_has_its_exit_code(service: FakeService, status: int, code: str, exit_code: int) -> None:
    job = service.add_job("a")
    document = problem(status, code, "cannot do it", state="ERROR")
    for words in (("resume", job["id"]), ("resume", job["id"], "--json")):
        service.answer("POST", f"/v1/jobs/{job['id']}/resume", status, document)
        result = bitsctl(service, *words)
        assert (result.exit_code, result.stdout) == (exit_code, "")
        if "--json" in words:
            assert json.loads(result.stderr) == document


def test_a_service_that_is_not_there_is_exit_6_for_every_verb(tmp_path: Path) -> None:
    words = {"get": ["http://h/a"], "create": ["n"], "add": ["j", "http://h/a"], "set": ["j", "priority=LOW"]}
    alone = {"list", "monitor", "events", "reset", "status", "doctor"}
    path = str(tmp_path / "none")
    for verb in VERBS.keys() - {"get"}:
        result = invoke(["--socket", path, verb, *words.get(verb, [] if verb in alone else ["j"])])
        assert (verb, result.exit_code) == (verb, 6)
        assert path in result.stderr


def test_the_other_jobs_are_done_when_one_fails(service: FakeService) -> None:
    service.add_job("a")
    result = bitsctl(service, "cancel", "nobody", "a")
    assert result.exit_code == 3
    assert "CANCELLED  a" in result.stdout


def test_create_takes_files_headers_and_properties(service: FakeService, tmp_path: Path) -> None:
    target = str(tmp_path / "b.bin")
    words = ["create", "n", "http://h/a%20b", "http://h/b", target, "--priority", "low", "--header", "A: b"]
    result = bitsctl(service, *words, "--set", "no_progress_timeout=0", "--set", "notify.flags=JOB_ERROR", "--resume")
    assert (result.exit_code, result.stdout.strip()) == (0, next(iter(service.jobs)))
    assert service.requests[0].body == {
        "display_name": "n",
        "priority": "LOW",
        "custom_headers": "A: b\r\n",
        "no_progress_timeout": 0,
        "notify": {"flags": ["JOB_ERROR"]},
        "resume": True,
        "files": [
            {"remote_name": "http://h/a%20b", "local_name": str(Path.cwd() / "a b")},
            {"remote_name": "http://h/b", "local_name": target},
        ],
    }


def test_add_and_set_send_what_was_typed(service: FakeService, tmp_path: Path) -> None:
    service.add_job("a")
    file = {"remote_name": "http://h/x", "local_name": str(tmp_path / "x")}
    assert bitsctl(service, "add", "a", *file.values(), "--make-dirs").exit_code == 0
    assert service.requests[-1].body == {"files": [file | {"make_dirs": True}]}
    result = bitsctl(service, "set", "a", "display_name=12", "priority=HIGH", "description=", "--if-match", "1")
    assert result.exit_code == 0
    assert service.requests[-1].body == {"display_name": "12", "priority": "HIGH", "description": None}


@pytest.mark.parametrize(("state", "exit_code"), [("TRANSFERRED", 0), ("ERROR", 1), ("CANCELLED", 1), ("QUEUED", 7)])
def test_wait_ends_with_the_state_as_exit_code(service: FakeService, state: str, exit_code: int) -> None:
    job = service.add_job("a")
    service.steps.append({"state": state})
    assert bitsctl(service, "wait", job["id"], "--timeout", "0").exit_code == exit_code


def test_wait_does_not_wait_for_what_cannot_come_any_more(service: FakeService) -> None:
    job = service.add_job("a", state="CANCELLED")
    assert bitsctl(service, "wait", job["id"], "--until", "transferred").exit_code == 1


def test_events_are_read_page_by_page_to_the_end(service: FakeService) -> None:
    service.events = [{"seq": n, "time": NOW, "type": "JOB_CREATED", "job_id": "j"} for n in range(1, 6)]
    service.page = 2
    result = bitsctl(service, "events", "--after", "1")
    assert [int(line.split()[0]) for line in result.stdout.splitlines()] == [2, 3, 4, 5]


@pytest.mark.parametrize(("words", "printed"), [(("a",), b"\0abc"), (("a", "2", "--from", "2"), b"bc")])
def test_cat_writes_the_bytes_of_a_file_and_nothing_else(
    service: FakeService, words: tuple[str, ...], printed: bytes
) -> None:
    service.add_job("a")
    service.content = b"\0abc"
    result = bitsctl(service, "cat", *words)
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, printed, "")
    assert service.requests[-1].path.endswith(f"/files/{2 if '2' in words else 0}/content")


def test_cat_of_a_file_that_breaks_off_is_exit_1(service: FakeService) -> None:
    service.add_job("a")
    service.content, service.breaks_off_at = b"abcdef", 3
    result = bitsctl(service, "cat", "a")
    assert (result.exit_code, result.stdout) == (1, "abc")
    assert "broke off" in result.stderr


def test_reset_wants_a_yes_and_cancels_all(service: FakeService) -> None:
    jobs = [service.add_job(str(number)) for number in range(20)]
    assert bitsctl(service, "reset").exit_code == 2
    assert bitsctl(service, "reset", "--yes").exit_code == 0
    assert {job["state"] for job in jobs} == {"CANCELLED"}


def test_status_counts_jobs_by_state(service: FakeService) -> None:
    service.add_job("a", state="ERROR")
    service.add_job("b", state="ERROR")
    assert "2 ERROR" in bitsctl(service, "status").stdout


def test_monitor_once_shows_busy_jobs_first(service: FakeService) -> None:
    service.add_job("idle")
    service.add_job("busy", state="TRANSFERRING", progress=progress(1, 4))
    lines = bitsctl(service, "monitor", "--once").stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["busy", "idle"]


def test_completion_offers_ids_and_plain_names(service: FakeService) -> None:
    job = service.add_job("catalog")
    service.add_job("cat alogue")
    typed = {"_BITSCTL_COMPLETE": "complete_bash", "COMP_WORDS": "bitsctl show ca", "COMP_CWORD": "2"}
    result = invoke([], BITSD_SOCKET=service.socket_path, **typed)
    assert result.stdout.split() == ["catalog", *([job["id"]] if job["id"].startswith("ca") else [])]


def test_version_and_help_need_no_service() -> None:
    assert invoke(["--version"]).stdout.startswith("bitsctl ")
    assert "Exit codes" in invoke(["--help"]).stdout
    assert invoke(["nonsense"]).exit_code == 2
