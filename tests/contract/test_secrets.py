"""Secrets of a job over both stores, and what of them is in the database."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from daemon.keys import KeySeal
from jobqueue.errors import InvalidStateError, RefusedError
from jobqueue.job import Properties, State
from jobqueue.lost import give_up_lost_secrets
from jobqueue.records import Records
from jobqueue.secrets import ClientCertificate, Credential, JobSecrets
from jobqueue.store import Store, open_store
from jobqueue.transaction import IdempotentRequest, Transaction
from jobqueue.vault import Vault
from tests.builders import BEN, a_file, a_job
from tests.queue_stage import Stage, anyone, staged

pytestmark = pytest.mark.looptime
SERVER = Credential("SERVER", "BASIC", "anna", "pass-1")
PROXY = Credential("PROXY", "DIGEST", "anna", "pass-2")
OF_URL = Credential("SERVER", "BASIC", "url-user", "pass-3", "http://origin:80")
CERTIFICATE = ClientCertificate("chain", "key")
RECORDS = Records(KeySeal(bytes(32)))


def in_clear(value: object) -> object:
    """A record as it was written before there were seals."""
    if not isinstance(value, dict):
        return [in_clear(item) for item in value] if isinstance(value, list) else value
    if "sealed" in value:
        return value.get("base", "") + RECORDS.seal.unseal(value["sealed"])
    return {name: in_clear(item) for name, item in value.items()}


async def held(on: Stage, job_id: str) -> JobSecrets:
    return await Vault(on.queue).read(job_id)


async def test_credentials_are_kept_one_for_each_target_and_scheme(store: Store) -> None:
    async with staged(store) as on:
        job_id, vault = await on.create(resume=False), Vault(on.queue)
        await vault.put_credential(job_id, anyone, SERVER)
        await vault.put_credential(job_id, anyone, PROXY)
        await vault.put_credential(job_id, anyone, replace(SERVER, password="newer"))
        assert (await held(on, job_id)).credentials == (replace(SERVER, password="newer"), PROXY)
        await vault.remove_credential(job_id, anyone, "SERVER", "BASIC")
        assert (await held(on, job_id)).credentials == (PROXY,)
        with pytest.raises(RefusedError) as caught:
            await vault.remove_credential(job_id, anyone, "SERVER", "BASIC")
        assert caught.value.code == "CREDENTIALS_NOT_FOUND"


async def test_a_secret_is_a_change_of_the_job_that_tells_no_value(store: Store) -> None:
    async with staged(store) as on:
        job_id, vault = await on.create(resume=False), Vault(on.queue)
        await vault.put_credential(job_id, anyone, SERVER)
        await vault.put_certificate(job_id, anyone, CERTIFICATE, {"subject": "CN=anna"})
        job = await on.job(job_id)
        assert job.revision == 3
        assert job.properties.client_certificate == {"subject": "CN=anna"}
        events = await on.events(job_id)
        assert [event.type for event in events] == ["JOB_CREATED", "JOB_MODIFIED", "JOB_MODIFIED"]
        assert all("pass" not in repr(event) for event in events)
        assert "pass" not in repr(await held(on, job_id))


@pytest.mark.parametrize("end", ["cancel", "take"])
async def test_secrets_go_with_the_owner_and_with_the_job(store: Store, end: str) -> None:
    async with staged(store) as on:
        job_id, vault = await on.create(resume=False), Vault(on.queue)
        await vault.put_credential(job_id, anyone, SERVER)
        await vault.put_certificate(job_id, anyone, CERTIFICATE, {"subject": "CN=anna"})
        if end == "take":
            await on.queue.take_ownership(job_id, anyone, BEN)
            assert (await on.job(job_id)).properties.client_certificate is None
        else:
            await on.scheduler.finisher.cancel(job_id, anyone)
            with pytest.raises(InvalidStateError):
                await vault.put_credential(job_id, anyone, SERVER)
        assert await held(on, job_id) == JobSecrets()


async def test_one_server_has_one_user_in_a_job_but_a_new_url_may_bring_another(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        await on.queue.add_files(job_id, anyone, [a_file()], [OF_URL])
        await on.queue.add_files(job_id, anyone, [a_file()], [OF_URL])
        other = replace(OF_URL, password="other")
        with pytest.raises(RefusedError):
            await on.queue.add_files(job_id, anyone, [a_file()], [other])
        assert (await on.job(job_id)).totals.files == 3
        assert (await held(on, job_id)).credentials == (OF_URL,)
        await on.queue.set_remote_name(job_id, 0, anyone, "http://origin/new", [other])
        assert (await held(on, job_id)).credentials == (other,)


async def test_a_refused_call_leaves_no_secret_behind(store: Store) -> None:
    def nobody(_: object) -> None:
        raise RefusedError("E_ACCESSDENIED", "no")

    async with staged(store) as on:
        job_id = await on.create(resume=False)
        with pytest.raises(RefusedError):
            await Vault(on.queue).put_credential(job_id, nobody, SERVER)
        assert not await held(on, job_id)


def test_what_may_be_secret_is_sealed_in_a_row_and_reads_back() -> None:
    properties = Properties(display_name="a", custom_headers="Authorization: planted\r\n")
    job = replace(a_job(), properties=properties)
    file = replace(a_file(), remote_name="http://a/b?sig=planted", mirrors=("http://c/d?sig=planted", "http://e/"))
    file = replace(
        file,
        pieces=((20, 30, 7), (40, 50, 8)),
        fetched_from="http://a/b#planted",
        response_headers="Link: <http://a/?sig=planted>",
    )
    secrets = JobSecrets((replace(SERVER, password="planted"),), replace(CERTIFICATE, private_key="planted"))
    texts = RECORDS.job_to_text(job), RECORDS.file_to_text(file), RECORDS.secrets_to_text(secrets)
    assert "planted" not in "".join(texts)
    assert RECORDS.job_from_text(texts[0], job.row) == job
    assert RECORDS.file_from_text(texts[1]) == file
    assert RECORDS.secrets_from_text(texts[2]) == secrets


def test_with_another_key_everything_but_the_secrets_reads() -> None:
    stranger = Records(KeySeal(bytes(31) + b"\1"))
    properties = Properties(display_name="a", custom_headers="Authorization: planted\r\n")
    job = replace(a_job(), properties=properties)
    file = replace(a_file(), remote_name="http://a/b?sig=planted")
    read = stranger.job_from_text(RECORDS.job_to_text(job), job.row)
    assert read == replace(job, properties=replace(properties, custom_headers=None))
    assert stranger.file_from_text(RECORDS.file_to_text(file)) == replace(file, remote_name="http://a/b")
    assert stranger.secrets_from_text(RECORDS.secrets_to_text(JobSecrets((SERVER,)))) == JobSecrets()


def test_a_row_from_before_there_were_seals_reads() -> None:
    properties = Properties(display_name="a", custom_headers="X: y\r\n")
    job = replace(a_job(), properties=properties)
    data = asdict(job)  # every member was written then, also what is as it is by default
    del data["properties"]["client_certificate"]
    assert RECORDS.job_from_text(json.dumps(data), job.row) == job
    data = asdict(a_file()) | {"remote_name": "http://a/b?c=d"}
    for name in (
        "fetched_from",
        "resume_unvalidated",
        "mtime",
        "served_digest",
        "is_date_weak",
        "media_type",
        "pieces",
    ):
        del data[name]
    assert RECORDS.file_from_text(json.dumps(data)) == replace(a_file(), remote_name="http://a/b?c=d")


async def test_removing_credentials_removes_those_of_urls_too(store: Store) -> None:
    async with staged(store) as on:
        job_id, vault = await on.create(resume=False), Vault(on.queue)
        await on.queue.add_files(job_id, anyone, [a_file()], [OF_URL, replace(OF_URL, scheme="DIGEST")])
        await vault.put_credential(job_id, anyone, SERVER)
        await vault.remove_credential(job_id, anyone, "SERVER", "BASIC")
        assert (await held(on, job_id)).credentials == (replace(OF_URL, scheme="DIGEST"),)


async def test_the_same_url_with_another_password_is_a_change(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        before = await on.job(job_id)
        url = (await on.queue.read(lambda tx: tx.file(job_id, 0))).remote_name
        await on.queue.set_remote_name(job_id, 0, anyone, url, [OF_URL])
        assert (await on.job(job_id)).revision == before.revision + 1


async def test_a_request_made_before_is_known_again_and_its_print_is_sealed(tmp_path: Path) -> None:
    request = IdempotentRequest(1, "key", "print-of-a-body")
    store = await open_store(str(tmp_path / "queue.db"), KeySeal(bytes(32)))
    await store.write(lambda tx: tx.insert_job(a_job(), None))
    await store.write(lambda tx: tx.remember_request(request, "j"))
    assert await store.read(lambda tx: tx.idempotent_job(request)) == ("print-of-a-body", "j")
    await store.close()
    assert b"print-of-a-body" not in (tmp_path / "queue.db").read_bytes()


# the key is gone


async def opened(path: Path, key: int) -> Store:
    return await open_store(str(path / "queue.db"), KeySeal(bytes([key] * 32)))


async def test_jobs_whose_key_is_gone_stay_and_are_in_error_until_they_are_set_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = "http://origin/a?token=planted"
    store = await opened(tmp_path, 1)
    async with staged(store) as on:
        signed, plain, logged_in, done, headed = [await on.create(name, resume=False) for name in "abcde"]
        await on.queue.set_remote_name(signed, 0, anyone, token)
        await on.queue.set_remote_name(done, 0, anyone, token)
        await on.transferred(done)
        await Vault(on.queue).put_credential(logged_in, anyone, SERVER)
        await Vault(on.queue).put_certificate(logged_in, anyone, CERTIFICATE, {"subject": "CN=anna"})
        await on.queue.set_properties(headed, anyone, {"custom_headers": "X-Key: planted"})
    await store.close()
    for life in range(2):  # the first start with the new key settles it
        store = await opened(tmp_path, 2)
        async with staged(store) as on:
            caplog.clear()
            await give_up_lost_secrets(on.queue)
            assert ("4 jobs lost" in caplog.text) is (life == 0)
            assert "planted" not in caplog.text
            assert await on.states(signed, plain, logged_in, done, headed) == [
                "ERROR", "SUSPENDED", "ERROR", "SUSPENDED", "ERROR",
            ]  # fmt: skip
            job = await on.job(logged_in)
            assert job.error is not None
            assert (job.error.code, job.error.context) == ("SECRETS_LOST", "GENERAL_QUEUE_MANAGER")
            assert job.properties.client_certificate is None
            assert (await on.job(headed)).properties.custom_headers is None
            assert (await on.queue.read(lambda tx: tx.file(signed, 0))).remote_name == "http://origin/a"
            assert [event.type for event in await on.events(signed)][-2:] == ["JOB_STATE", "JOB_ERROR"]
        await store.close()


async def test_with_its_key_nothing_is_lost(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        await Vault(on.queue).put_credential(job_id, anyone, SERVER)
        await on.queue.set_remote_name(job_id, 0, anyone, 'http://origin/a?"sealed":"')
        before = await on.record(job_id)
        await give_up_lost_secrets(on.queue)
        assert await on.record(job_id) == before
        assert (await held(on, job_id)).credentials == (SERVER,)


async def test_every_record_is_looked_at_once_for_each_key(tmp_path: Path) -> None:
    lost = []
    for key in (b"a", b"a", b"b", b"b", b"a"):
        store = await open_store(str(tmp_path / "queue.db"), KeySeal(key * 32))
        async with staged(store) as on:
            before = await on.queue.read(lambda tx: tx.has_own_seal())
            await give_up_lost_secrets(on.queue)
            assert await on.queue.read(lambda tx: tx.has_own_seal())
            job_id = await on.create(resume=False)
            await Vault(on.queue).put_credential(job_id, anyone, SERVER)
            errors = [job.state for job in await on.queue.read(lambda tx: list(tx.every_job()))].count(State.ERROR)
            lost.append((before, errors))
        await store.close()
    assert lost == [(False, 0), (True, 0), (False, 2), (True, 2), (False, 4)]


OF_SCHEMA_1 = ("jobs", "files", "events", "requests", "meta")


async def test_a_database_from_before_there_were_secrets_is_brought_up_and_sealed(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    job = replace(a_job(), properties=Properties("a job", custom_headers="X-Key: planted"))
    files = [a_file(index, remote_name=f"http://origin/{index}?token=planted") for index in range(200)]

    def fill(tx: Transaction) -> None:
        tx.insert_job(job, None)
        for file in files:
            tx.put_file(job.id, file)

    store = await open_store(str(path), KeySeal(bytes(32)))
    await store.write(fill)
    await store.close()
    with closing(sqlite3.connect(path)) as old, old:
        old.create_function("in_clear", 1, lambda text: json.dumps(in_clear(json.loads(text))))
        old.executescript(
            "DROP TABLE secrets; UPDATE jobs SET record = in_clear(record); UPDATE files SET record = in_clear(record);"
            "DROP TABLE leftovers; PRAGMA user_version = 1;"
        )
        for table in OF_SCHEMA_1:
            old.execute(f"ALTER TABLE {table} DROP COLUMN sum")
    assert b"planted" in path.read_bytes()
    store = await open_store(str(path), KeySeal(bytes(32)))
    assert await store.read(lambda tx: (tx.job(job.id), list(tx.files(job.id)))) == (replace(job, row=1), files)
    await store.write(lambda tx: tx.put_secrets(job.id, JobSecrets((SERVER,))))
    await store.close()
    assert b"planted" not in path.read_bytes()


async def test_secrets_go_with_the_record_of_their_job(store: Store) -> None:
    job = a_job()
    await store.write(lambda tx: tx.insert_job(job, None))
    await store.write(lambda tx: tx.put_secrets(job.id, JobSecrets((SERVER,))))
    assert (await store.read(lambda tx: tx.secrets(job.id))).credentials == (SERVER,)
    await store.write(lambda tx: tx.delete_job(job.id))
    assert not await store.read(lambda tx: tx.secrets(job.id))
