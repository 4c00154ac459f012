"""The calls of a job's owner over both stores: what they do, what they refuse, and that a refusal changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from jobqueue.edit import Limits
from jobqueue.errors import (
    EmptyJobError,
    IdempotencyConflictError,
    InvalidStateError,
    JobQueueError,
    NotFoundError,
    PendingError,
    RefusedError,
)
from jobqueue.ids import temporary_name
from jobqueue.job import Finished, Job, Owner, Priority, State
from jobqueue.landing import Landed
from jobqueue.order import Slots
from jobqueue.secrets import Credential
from jobqueue.store import Store
from jobqueue.transaction import IdempotentRequest
from tests.builders import ANNA, BEN, LIMITS, ROOT, a_file, fatal, transient
from tests.queue_stage import Stage, anyone, new_job, pass_time, settle, staged

pytestmark = pytest.mark.looptime
ONE_SLOT = Slots(0, 1, 300.0)


def as_it_is(url: str) -> tuple[str, Sequence[Credential]]:
    return url, ()


# create


async def test_a_new_job_is_suspended_with_its_files_in_order_and_one_event(store: Store) -> None:
    async with staged(store) as on:
        job = await on.queue.create(new_job(files=3, priority=Priority.LOW))
        assert (job.state, job.revision, job.row, job.resumed) == (State.SUSPENDED, 1, 1, False)
        assert await on.job(job.id) == job
        files = await on.queue.read(lambda tx: tx.files(job.id))
        assert [(file.index, file.local_name) for file in files] == [(n, f"/data/file-{n}") for n in range(3)]
        assert len({file.temporary_name for file in files}) == 3
        (event,) = await on.events()
        assert (event.type, event.job_id, event.seq) == ("JOB_CREATED", job.id, job.changed_seq)
        await settle()
        assert on.transfers.started == []


async def test_temporary_files_lie_beside_their_destination(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        (file,) = await on.queue.read(lambda tx: tx.files(job_id))
        directory, _, name = file.temporary_name.rpartition("/")
        assert directory == "/data"
        assert name.startswith(".BIT")
        assert name.endswith(".tmp")


async def test_temporary_names_of_all_jobs_come_from_one_row_of_numbers(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=3)
        await on.queue.add_files(job_id, anyone, [a_file(7)])
        other = await on.create(files=2)
        names = [file.temporary_name for each in (job_id, other) for file in await on.reports.files(each)]
        last, key = (await on.queue.read(lambda tx: tx.meta("temporary") or "")).split()
        expected = [temporary_name(int(last) - 6 + place, bytes.fromhex(key)) for place in range(6)]
        assert [name.rpartition("/")[2] for name in names] == expected


async def test_a_job_created_to_run_at_once_was_suspended_and_resumed(store: Store) -> None:
    async with staged(store) as on:
        job = await on.queue.create(new_job(resume=True))
        assert (job.state, job.resumed) == (State.QUEUED, True)
        assert await on.moves(job.id) == [("SUSPENDED", "QUEUED")]


@pytest.mark.parametrize("new", [new_job(files=0, resume=True), new_job(maximum_download_size=0)], ids=["empty", "bad"])
async def test_a_refused_creation_leaves_nothing(store: Store, new: object) -> None:
    async with staged(store) as on:
        with pytest.raises(JobQueueError):
            await on.queue.create(new)  # type: ignore[arg-type]
        assert await on.queue.read(lambda tx: list(tx.every_job())) == []
        assert await on.events() == []


async def test_the_same_request_twice_gives_the_same_job_whatever_became_of_it(store: Store) -> None:
    request = IdempotentRequest(1000, "key", "print")
    async with staged(store) as on:
        first, second = await asyncio.gather(*(on.queue.create(new_job(), request) for _ in range(2)))
        assert second == first
        await on.queue.add_files(first.id, anyone, [a_file()])
        assert (await on.queue.create(new_job(), request)).revision == 2
        with pytest.raises(IdempotencyConflictError):
            await on.queue.create(new_job(), replace(request, fingerprint="another"))
        assert (await on.queue.create(new_job(), replace(request, uid=1))).id != first.id
        assert len(await on.events(None, "JOB_CREATED")) == 2


async def test_a_user_and_the_machine_hold_so_many_jobs_and_final_ones_do_not_count(store: Store) -> None:
    async with staged(store, limits=Limits(2, 3, 0, 0)) as on:
        first = await on.create(resume=False)
        await on.create(resume=False)
        with pytest.raises(RefusedError) as refused:
            await on.create(resume=False)
        assert (refused.value.code, refused.value.facts) == ("BG_E_TOO_MANY_JOBS_PER_USER", {"limit": 2})
        await on.finisher.cancel(first, anyone)
        await on.create(resume=False)
        await on.create(resume=False, owner=BEN)
        with pytest.raises(RefusedError) as refused:
            await on.create(resume=False, owner=BEN)
        assert refused.value.code == "BG_E_TOO_MANY_JOBS_PER_MACHINE"
        await on.create(resume=False, owner=ROOT)


# refusals


def stranger(_: Job) -> None:
    raise PermissionError


CALLS: dict[str, Callable[[Stage, str], Awaitable[object]]] = {
    "a method after resume": lambda on, job: on.queue.set_properties(job, anyone, {"http_method": "POST"}),
    "overlapping ranges": lambda on, job: on.queue.add_files(job, anyone, [a_file(), a_file(ranges=((0, 5), (4, 1)))]),
    "too many files": lambda on, job: on.queue.add_files(job, anyone, [a_file()] * 201),
    "an unknown file": lambda on, job: on.queue.set_remote_name(job, 9, anyone, "http://b/"),
    "an unfinished file": lambda on, job: on.queue.validate(job, 0, anyone, is_valid=False),
    "a stranger's edit": lambda on, job: on.queue.set_properties(job, stranger, {"description": "x"}),
    "a stranger's files": lambda on, job: on.queue.add_files(job, stranger, [a_file()]),
    "a stranger's suspend": lambda on, job: on.queue.suspend(job, stranger),
    "a stranger's cancel": lambda on, job: on.finisher.cancel(job, stranger),
    "a stranger's complete": lambda on, job: on.finisher.complete(job, stranger),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_refused_call_changes_nothing_at_all(store: Store, name: str) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        before = await on.record(job_id)
        await pass_time(10)
        with pytest.raises((JobQueueError, PermissionError)):
            await CALLS[name](on, job_id)
        await settle()
        assert await on.record(job_id) == before
        assert on.transfers.started == [job_id]


async def test_a_call_that_changes_nothing_is_told_to_nobody(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        before = await on.record(job_id)
        await pass_time(10)
        await on.queue.suspend(job_id, anyone)
        await on.queue.set_properties(job_id, anyone, {"description": "", "priority": Priority.NORMAL})
        await on.queue.set_remote_name(job_id, 0, anyone, "http://origin/file-0")
        assert await on.queue.add_files(job_id, anyone, []) in ([], ())
        assert (await on.queue.replace_remote_prefix(job_id, anyone, "ftp:", "http:", as_it_is))[1] == 0
        assert await on.record(job_id) == before


async def test_every_change_has_one_event_and_raises_the_revision_by_one(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        await on.queue.set_properties(job_id, anyone, {"description": "x", "priority": Priority.LOW})
        await on.queue.add_files(job_id, anyone, [a_file(), a_file()])
        await on.queue.set_remote_name(job_id, 1, anyone, "http://b/")
        await on.queue.replace_remote_prefix(job_id, anyone, "http://origin/", "http://c/", as_it_is)
        await on.queue.take_ownership(job_id, anyone, BEN)
        job = await on.job(job_id)
        assert job.revision == 6
        assert [event.type for event in await on.events(job_id)] == ["JOB_CREATED"] + ["JOB_MODIFIED"] * 5
        assert job.changed_seq == (await on.events(job_id))[-1].seq


async def test_progress_is_no_change_of_the_revision(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        revision = (await on.job(job_id)).revision
        await on.reports.size_known(job_id, 0, 100)
        await on.reports.synced(job_id, 0, Landed(50, 0, 0))
        job = await on.job(job_id)
        assert (job.revision, job.totals.bytes_transferred, job.totals.bytes_total) == (revision, 50, 100)


async def test_unknown_jobs_are_not_found_by_any_call(store: Store) -> None:
    async with staged(store) as on:
        for call in (on.queue.suspend, on.queue.resume, on.finisher.complete, on.finisher.cancel):
            with pytest.raises(NotFoundError):
                await call("no-such-job", anyone)


async def test_a_job_without_files_cannot_be_resumed_and_says_so_unless_it_is_final(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=0, resume=False)
        before = await on.record(job_id)
        with pytest.raises(EmptyJobError) as refused:
            await on.queue.resume(job_id, anyone)
        assert refused.value.facts == {"state": State.SUSPENDED}
        assert await on.record(job_id) == before
        await on.finisher.cancel(job_id, anyone)
        with pytest.raises(InvalidStateError):
            await on.queue.resume(job_id, anyone)


# files


async def test_files_are_added_all_or_none_and_numbered_on(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=2, resume=False)
        added = await on.queue.add_files(job_id, anyone, [a_file(), a_file(ranges=((0, 5), (10, 5)))])
        assert [(file.index, file.size) for file in added] == [(2, None), (3, 10)]
        assert (await on.job(job_id)).totals.files == 4


async def test_a_judgement_of_the_owner_makes_the_job_fail_and_the_file_start_anew(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=2)
        await on.transferred(job_id, 0)
        with pytest.raises(PendingError):
            await on.queue.validate(job_id, 1, anyone, is_valid=True)
        assert (await on.queue.validate(job_id, 0, anyone, is_valid=True)).validated
        assert await on.state(job_id) == "TRANSFERRING"
        file = await on.queue.validate(job_id, 0, anyone, is_valid=False)
        await settle()
        job = await on.job(job_id)
        assert (job.state, file.transferred, file.offset, job.totals.bytes_transferred) == (State.ERROR, False, 0, 0)
        assert job.error is not None
        assert (job.error.code, job.error.file_index) == ("BG_E_VALIDATION_FAILED", 0)
        assert on.transfers.running == {}
        await on.queue.resume(job_id, anyone)
        await settle()
        with on.reports.upcoming(job_id) as files:
            assert await files.take() == file


async def test_a_new_owner_gets_no_secrets_of_the_old_one(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False, custom_headers="A: secret", notify_command=("/bin/x",), description="d")
        job = await on.queue.take_ownership(job_id, anyone, BEN)
        assert (job.owner, job.properties.description) == (BEN, "d")
        assert (job.properties.custom_headers, job.properties.notify_command) == (None, None)


async def test_a_remote_prefix_is_replaced_where_it_is_one_or_nowhere(store: Store) -> None:
    def refuse(remote_name: str) -> tuple[str, Sequence[Credential]]:
        if remote_name.endswith("2"):
            raise RefusedError("E_INVALIDARG", "no")
        return remote_name, [Credential("SERVER", "BASIC", "u", "p", "http://b:80")]

    async with staged(store) as on:
        job_id = await on.create(files=3, resume=False)
        before = await on.record(job_id)
        with pytest.raises(RefusedError):
            await on.queue.replace_remote_prefix(job_id, anyone, "http://origin/", "http://b/", refuse)
        assert await on.record(job_id) == before
        await on.queue.set_remote_name(job_id, 1, anyone, "http://other/http://origin/")
        _, changed = await on.queue.replace_remote_prefix(job_id, anyone, "http://origin/", "http://b/", as_it_is)
        names = [file.remote_name for file in await on.queue.read(lambda tx: tx.files(job_id))]
        assert changed == 2
        assert names == ["http://b/file-0", "http://other/http://origin/", "http://b/file-2"]


# events


async def test_every_change_of_state_is_told_once_in_order_and_without_gaps(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        job_id = await on.create(files=2)
        await on.ends(job_id, transient())
        await pass_time(61)
        await on.queue.suspend(job_id, anyone)
        await on.queue.resume(job_id, anyone)
        await settle()
        high = await on.create("high", priority=Priority.HIGH)
        await on.ends(high, fatal())
        await on.transferred(job_id, 0, 1)
        await on.ends(job_id, Finished())
        await on.finisher.complete(job_id, anyone)
        moves = await on.moves(job_id)
        assert [source for source, _ in moves] == ["SUSPENDED", *(target for _, target in moves[:-1])]
        assert [target for _, target in moves] == [
            *("QUEUED", "TRANSFERRING", "TRANSIENT_ERROR", "QUEUED", "TRANSFERRING", "SUSPENDED", "QUEUED"),
            *("TRANSFERRING", "QUEUED", "TRANSFERRING", "TRANSFERRED", "ACKNOWLEDGED"),
        ]
        events = await on.events()
        assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_listeners_are_told_after_the_change_is_to_be_seen(store: Store) -> None:
    async with staged(store) as on:
        seen: list[bool] = []
        on.queue.subscribe(lambda change: seen.append(change.has_events))
        job_id = await on.create(resume=False)
        assert seen == [True]
        await on.queue.suspend(job_id, anyone)
        assert seen[1:] in ([False], [])


async def test_limits_do_not_bind_root(store: Store) -> None:
    async with staged(store, limits=replace(LIMITS, files_per_job=1)) as on:
        await on.create(files=2, resume=False, owner=Owner(0, 0, "root"))
        with pytest.raises(RefusedError):
            await on.create(files=2, resume=False, owner=ANNA)
