"""Files of a job through the socket: documents, progress, adding, ranges in the order given."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.origin import Origin
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 300_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    async with Bitsd(tmp_path_factory.mktemp("files")) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with Origin() as made:
        yield made


async def add(bitsd: Bitsd, job: Document, *files: Document) -> tuple[int, Document]:
    return await bitsd.call("POST", f"/v1/jobs/{job['id']}/files", {"files": list(files)})


def wanted(bitsd: Bitsd, origin: Origin, path: str, **more: object) -> Document:
    return {"remote_name": origin.url(path), "local_name": bitsd.target(path)} | more


async def test_a_new_file_has_the_defaults_of_the_contract(bitsd: Bitsd, origin: Origin) -> None:
    job = await bitsd.create(name="files")
    status, reply = await add(bitsd, job, wanted(bitsd, origin, "/new"))
    assert status == 201
    (file,) = reply["files"]
    temporary = Path(file.pop("temporary_name"))
    assert temporary.parent == bitsd.downloads
    assert (temporary.name[:4], temporary.name[12:], len(temporary.name)) == (".BIT", ".tmp", 16)
    int(temporary.name[4:12], 16)
    assert file == {
        "index": 0,
        "remote_name": origin.url("/new"),
        "local_name": bitsd.target("/new"),
        "ranges": [],
        "progress": {"bytes_total": None, "bytes_transferred": 0, "completed": False},
        "transferred": False,
        "expected_size": None,
        "digest": None,
        "mirrors": [],
        "resume_unvalidated": False,
        "validated": None,
        "response_headers": None,
    }


async def test_files_are_added_at_the_end_and_only_they_are_answered(bitsd: Bitsd, origin: Origin) -> None:
    job = await bitsd.create(origin.url("/0"), resume=False)
    _, reply = await add(bitsd, job, wanted(bitsd, origin, "/1"), wanted(bitsd, origin, "/2"))
    assert [file["index"] for file in reply["files"]] == [1, 2]
    listed = (await bitsd.ok("GET", f"/v1/jobs/{job['id']}/files"))["files"]
    assert [file["local_name"] for file in listed] == [bitsd.target(f"/{index}") for index in range(3)]
    assert listed[1:] == reply["files"]
    assert (await bitsd.job(job, include="files"))["files"] == listed
    assert await bitsd.ok("GET", f"/v1/jobs/{job['id']}/files/2") == listed[2]
    found = await bitsd.job(job)
    assert found["progress"] == {
        "bytes_total": None, "bytes_transferred": 0, "files_total": 3, "files_transferred": 0
    }  # fmt: skip
    assert found["revision"] > job["revision"]


async def test_documents_from_the_first_byte_to_complete(bitsd: Bitsd, origin: Origin) -> None:
    script = origin.file("/whole", size=SIZE, headers={"X-Kind": "test"})
    digest = {"sha-256": script.content.digest(), "md5": script.content.digest("md5")}
    file = wanted(bitsd, origin, "/whole", digest=digest, expected_size=SIZE)
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
    job = await bitsd.wait(job, "TRANSFERRED", "ERROR")
    assert job["progress"] == {
        "bytes_total": SIZE, "bytes_transferred": SIZE, "files_total": 1, "files_transferred": 1
    }  # fmt: skip
    assert job["times"]["created"] <= job["times"]["transfer_completed"] <= job["times"]["modified"]
    (done,) = (await bitsd.job(job, include="files"))["files"]
    assert done["progress"] == {"bytes_total": SIZE, "bytes_transferred": SIZE, "completed": False}
    assert (done["transferred"], done["validated"]) == (True, None)
    assert "X-Kind: test" in done["response_headers"]
    assert hashlib.sha256(Path(done["temporary_name"]).read_bytes()).hexdigest() == digest["sha-256"]
    assert not Path(done["local_name"]).exists()
    await bitsd.act(job, "complete")
    after = await bitsd.job(job, include="files")
    assert after["files"][0]["progress"]["completed"] is True
    assert after["files"][0]["validated"] is True  # Complete says so (§5.9)
    assert after["times"]["transfer_completed"] == job["times"]["transfer_completed"]
    assert Path(done["local_name"]).read_bytes() == script.content.read()
    assert Path(done["local_name"]).stat().st_mtime == 1735689600  # Last-Modified of the origin
    assert not Path(done["temporary_name"]).exists()


async def test_ranges_are_put_together_in_the_order_given(bitsd: Bitsd, origin: Origin) -> None:
    script = origin.file("/ranged", size=SIZE)
    ranges = [(100, 100), (900, 100), (400, 100), (SIZE - 50, None)]
    asked = [{"offset": offset, "length": length} for offset, length in ranges]
    job = await bitsd.create(name="ranged")
    _, reply = await add(bitsd, job, wanted(bitsd, origin, "/ranged", ranges=asked))
    assert reply["files"][0]["ranges"] == asked
    await bitsd.act(job, "resume")
    job = await bitsd.wait(job, "TRANSFERRED", "ERROR")
    assert job["progress"]["bytes_total"] == job["progress"]["bytes_transferred"] == 350
    await bitsd.act(job, "complete")
    parts = [script.content.read(offset, None if length is None else offset + length) for offset, length in ranges]
    assert Path(bitsd.target("/ranged")).read_bytes() == b"".join(parts)


async def test_the_size_of_ranges_is_known_before_anything_is_fetched(bitsd: Bitsd, origin: Origin) -> None:
    job = await bitsd.create(name="ranged")
    ranges = [{"offset": 10, "length": 5}, {"offset": 0, "length": 5}]
    _, reply = await add(bitsd, job, wanted(bitsd, origin, "/r", ranges=ranges))
    assert reply["files"][0]["progress"]["bytes_total"] == 10
    assert (await bitsd.job(job))["progress"]["bytes_total"] == 10


async def test_touching_ranges_and_any_order_of_offsets_are_fine(bitsd: Bitsd, origin: Origin) -> None:
    job = await bitsd.create(name="ranged")
    for ranges in (
        [{"offset": 5, "length": 5}, {"offset": 0, "length": 5}],
        [{"offset": 5}, {"offset": 0, "length": 5}],
        [{"offset": 0, "length": None}],
    ):
        status, reply = await add(bitsd, job, wanted(bitsd, origin, "/t", ranges=ranges))
        assert status == 201, reply


async def test_missing_directories_are_made_when_asked_for(bitsd: Bitsd, origin: Origin) -> None:
    script = origin.file("/deep", size=100)
    local = bitsd.downloads / "not" / "there" / "yet"
    file = {"remote_name": origin.url("/deep"), "local_name": str(local), "make_dirs": True}
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [file], "resume": True})
    await bitsd.wait(job, "TRANSFERRED", "ERROR")
    await bitsd.act(job, "complete")
    assert local.read_bytes() == script.content.read()


async def test_names_that_need_no_escaping_are_kept_as_they_are(bitsd: Bitsd, origin: Origin) -> None:
    script = origin.file("/a%20b;c=d", size=10)
    local = bitsd.downloads / "ümläut 💾 and spaces"
    file = {"remote_name": origin.url("/a%20b;c=d?x=%C3%A4&y=1+2"), "local_name": str(local)}
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "Ünï 💾", "files": [file], "resume": True})
    job = await bitsd.wait(job, "TRANSFERRED", "ERROR")
    assert job["display_name"] == "Ünï 💾"
    assert origin.requests[-1].path == "/a%20b;c=d?x=%C3%A4&y=1+2"
    await bitsd.act(job, "complete")
    assert local.read_bytes() == script.content.read()


async def test_a_url_of_the_longest_legal_length_is_taken(bitsd: Bitsd, origin: Origin) -> None:
    path = "/" + "x" * (2200 - len(origin.url("/")))
    job = await bitsd.create(name="long")
    status, _ = await add(bitsd, job, {"remote_name": origin.url(path), "local_name": bitsd.target("/long")})
    assert status == 201


async def test_no_file_at_all_is_nothing_to_transfer(bitsd: Bitsd) -> None:
    job = await bitsd.create(name="empty")
    assert job["progress"]["bytes_total"] == 0
    assert (await bitsd.ok("GET", f"/v1/jobs/{job['id']}/files"))["files"] == []


async def test_a_file_without_bytes_is_transferred_and_published(bitsd: Bitsd, origin: Origin) -> None:
    origin.file("/zero", size=0)
    job = await bitsd.wait(await bitsd.create(origin.url("/zero")), "TRANSFERRED", "ERROR")
    assert (job["progress"]["bytes_total"], job["state"]) == (0, "TRANSFERRED")
    assert (await bitsd.act(job, "complete"))["result"] == "S_OK"
    assert Path(bitsd.target("/zero")).read_bytes() == b""
