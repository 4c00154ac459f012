"""Complete, Cancel and a service that stops or dies at any moment of them; both stores."""

import asyncio
import errno
from collections.abc import Sequence

import pytest

from jobqueue.errors import InvalidStateError, JobQueueError, StoreFullError
from jobqueue.job import Finished, Owner, State
from jobqueue.landing import Landed
from jobqueue.order import Slots
from jobqueue.store import Store
from jobqueue.transaction import Leftover
from tests.builders import ANNA, HOUR, a_file, fatal, transient
from tests.queue_stage import FakeFiles, Stage, anyone, pass_time, settle, staged
from tests.stores import StoreKind

pytestmark = pytest.mark.looptime


async def a_transferred_job(on: Stage, files: int = 2) -> str:
    job_id = await on.create(files=files)
    await on.transferred(job_id, *range(files))
    await on.ends(job_id, Finished())
    return job_id


# Complete


async def test_complete_gives_every_file_its_name(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        job, result = await on.finisher.complete(job_id, anyone)
        assert (job.state, result, job.intent) == (State.ACKNOWLEDGED, "S_OK", None)
        assert on.files.published == ["/data/file-0", "/data/file-1"]
        assert on.files.discarded == []
        files = await on.queue.read(lambda tx: tx.files(job_id))
        assert [(file.completed, file.validated) for file in files] == [(True, True)] * 2


@pytest.mark.parametrize("how", ["running", "suspended", "failed", "waiting"])
async def test_partial_complete_keeps_what_is_finished_and_removes_the_rest(store: Store, how: str) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=3)
        await on.transferred(job_id, 1)
        if how == "suspended":
            await on.queue.suspend(job_id, anyone)
        elif how != "running":
            await on.ends(job_id, fatal() if how == "failed" else transient())
        job, result = await on.finisher.complete(job_id, anyone)
        assert (job.state, result) == (State.ACKNOWLEDGED, "BG_S_PARTIAL_COMPLETE")
        assert on.files.published == ["/data/file-1"]
        assert len(on.files.discarded) == 2
        assert on.transfers.running == {}


@pytest.mark.parametrize("files", [0, 1])
async def test_complete_with_nothing_finished_is_partial_too(store: Store, files: int) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=files, resume=False)
        job, result = await on.finisher.complete(job_id, anyone)
        assert (job.state, result) == (State.ACKNOWLEDGED, "BG_S_PARTIAL_COMPLETE")


async def test_complete_of_a_job_that_was_suspended_when_all_was_there_is_whole(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        await on.queue.suspend(job_id, anyone)
        assert (await on.finisher.complete(job_id, anyone))[1] == "S_OK"


async def test_the_last_byte_may_arrive_while_complete_waits_for_the_transfer(store: Store) -> None:
    async with staged(store) as on:
        on.transfers.linger = 5.0
        job_id = await on.create()
        completing = asyncio.ensure_future(on.finisher.complete(job_id, anyone))
        await settle()
        await on.transferred(job_id)  # the attempt had just finished it
        job, result = await completing
        assert (job.state, result) == (State.ACKNOWLEDGED, "S_OK")
        assert on.files.published == ["/data/file-0"]


async def test_a_rename_that_fails_leaves_the_job_transferred_and_complete_may_be_called_again(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on, files=3)
        on.files.stuck = frozenset({"/data/file-1"})
        with pytest.raises(JobQueueError, match="cannot rename"):
            await on.finisher.complete(job_id, anyone)
        files = await on.queue.read(lambda tx: tx.files(job_id))
        assert [file.completed for file in files] == [True, False, False]
        assert await on.state(job_id) == "TRANSFERRED"
        with pytest.raises(JobQueueError, match="cannot rename"):
            await on.finisher.complete(job_id, anyone)
        on.files.stuck = frozenset()
        job, result = await on.finisher.complete(job_id, anyone)
        assert (job.state, result) == (State.ACKNOWLEDGED, "S_OK")
        assert on.files.published == ["/data/file-0", "/data/file-1", "/data/file-2"]


async def test_a_rename_that_fails_before_any_other_changes_nothing(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        before = await on.record(job_id)
        on.files.stuck = frozenset({"/data/file-0"})
        await pass_time(10)
        with pytest.raises(JobQueueError, match="cannot rename"):
            await on.finisher.complete(job_id, anyone)
        assert await on.record(job_id) == before


@pytest.mark.parametrize("fetched", [0, 1])
async def test_a_rename_that_fails_in_any_state_leaves_the_job_transferred(store: Store, fetched: int) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=2)
        await on.transferred(job_id, fetched)
        on.files.stuck = frozenset({f"/data/file-{fetched}"})
        with pytest.raises(JobQueueError, match="cannot rename"):
            await on.finisher.complete(job_id, anyone)
        assert await on.state(job_id) == "TRANSFERRED"
        await on.queue.resume(job_id, anyone)  # what is missing can still be fetched
        await settle()
        assert await on.state(job_id) == "TRANSFERRING"


async def test_cancel_after_a_partly_failed_complete_keeps_what_has_its_name(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        on.files.stuck = frozenset({"/data/file-1"})
        with pytest.raises(JobQueueError):
            await on.finisher.complete(job_id, anyone)
        await on.finisher.cancel(job_id, anyone)
        assert len(on.files.discarded) == 1


@pytest.mark.parametrize("verb", ["complete", "cancel"])
async def test_temporary_files_that_stay_behind_are_told(store: Store, verb: str) -> None:
    async with staged(store) as on:
        job_id = await on.create(resume=False)
        (file,) = await on.queue.read(lambda tx: tx.files(job_id))
        on.files.stuck = frozenset({file.temporary_name})
        job, result = await getattr(on.finisher, verb)(job_id, anyone)
        assert (job.state.is_final, result) == (True, "BG_S_UNABLE_TO_DELETE_FILES")


async def test_a_leftover_that_nobody_can_be_found_to_remove_costs_the_service_nothing(store: Store) -> None:
    class NoThread(FakeFiles):
        async def discard(self, owner: Owner, paths: Sequence[str]) -> Sequence[str]:
            if self.stuck:
                raise OSError(errno.EAGAIN, "no thread to be had")
            return await super().discard(owner, paths)

    leftover = Leftover("/data/.BIT1.tmp", "gone", ANNA, 1.0)
    await store.write(lambda tx: tx.put_leftover(leftover))
    files = NoThread(stuck=frozenset({leftover.path}))
    async with staged(store, files=files) as on:
        job_id = await a_transferred_job(on)
        assert await on.state(job_id) == "TRANSFERRED"
        assert await on.queue.read(lambda tx: list(tx.leftovers())) == [leftover]
        files.stuck = frozenset()
        await pass_time(HOUR + 1)
        assert await on.queue.read(lambda tx: list(tx.leftovers())) == []


async def test_nothing_comes_between_the_two_steps_of_an_end(store: Store) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        on.files.gate.clear()
        completing = asyncio.ensure_future(on.finisher.complete(job_id, anyone))
        await settle()
        before = await on.record(job_id)
        for call in (on.queue.suspend, on.queue.resume, on.finisher.complete, on.finisher.cancel):
            with pytest.raises(InvalidStateError, match="being completed"):
                await call(job_id, anyone)
        with pytest.raises(InvalidStateError, match="being completed"):
            await on.queue.add_files(job_id, anyone, [a_file()])
        assert await on.record(job_id) == before
        on.files.gate.set()
        assert (await completing)[1] == "S_OK"


@pytest.mark.parametrize("verb", ["complete", "cancel"])
async def test_an_end_that_could_not_be_recorded_comes_by_itself_once_it_can_be(store: Store, verb: str) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        on.files.gate.clear()
        call = asyncio.ensure_future(getattr(on.finisher, verb)(job_id, anyone))
        await settle()
        on.store.refuses = StoreFullError("no space")
        on.files.gate.set()
        with pytest.raises(StoreFullError):
            await call
        await pass_time(60)
        on.store.refuses = None
        await pass_time(30)
        job = await on.job(job_id)
        assert (job.state.is_final, job.intent) == (True, None)


@pytest.mark.parametrize("verb", ["complete", "cancel"])
async def test_of_two_calls_at_once_to_end_a_job_one_is_refused(store: Store, verb: str) -> None:
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        ends = [getattr(on.finisher, verb)(job_id, anyone) for _ in range(2)]
        done, refused = await asyncio.gather(*ends, return_exceptions=True)
        assert not isinstance(done, BaseException)
        assert done[1] == "S_OK"
        assert isinstance(refused, InvalidStateError)
        assert len(on.files.published or on.files.discarded) == 2


# restart


async def test_active_jobs_come_back_in_line_with_exactly_one_event(stores: StoreKind) -> None:
    store = await stores.open()
    async with staged(store, slots=Slots(0, 1, 300.0)) as on:
        running, queued = await on.create("running"), await on.create("queued")
        suspended = await on.create("suspended", resume=False)
        await on.reports.synced(running, 0, Landed(7, 0, 0))
        events = len(await on.events())
        await stores.crash(store)
        store = await stores.open()
        async with staged(store, slots=Slots(0, 1, 300.0)) as again:
            later = (await again.events())[events:]
            told = [(event.job_id, event.data["from"], event.data["to"]) for event in later]
            assert told == [(running, "TRANSFERRING", "QUEUED"), (running, "QUEUED", "TRANSFERRING")]
            assert await again.states(running, queued, suspended) == ["TRANSFERRING", "QUEUED", "SUSPENDED"]
            assert (await again.job(running)).totals.bytes_transferred == 7
        await store.close()
        on.store.store = store = await stores.open()
    await store.close()


async def test_a_waiting_job_keeps_its_remaining_delay_and_its_clock(stores: StoreKind) -> None:
    store = await stores.open()
    async with staged(store) as on:
        job_id = await on.create(no_progress_timeout=HOUR, minimum_retry_delay=600)
        await on.ends(job_id, transient())
        before = await on.job(job_id)
        await pass_time(400)
    await store.close()
    await pass_time(5 * HOUR)  # the machine is off: this is nobody's failure
    store = await stores.open()
    async with staged(store) as on:
        assert await on.job(job_id) == before
        await pass_time(190)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(15)
        assert await on.state(job_id) == "TRANSFERRING"
        assert (await on.job(job_id)).timers.no_progress_since == pytest.approx(
            before.timers.no_progress_since, abs=1.0
        )
    await store.close()


async def test_the_wall_clock_moves_no_timer(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(minimum_retry_delay=600)
        await on.ends(job_id, transient())
        on.queue.clock.wall_base += 10 * HOUR  # type: ignore[attr-defined]
        await pass_time(590)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(15)
        assert await on.state(job_id) == "TRANSFERRING"


@pytest.mark.parametrize(("verb", "end"), [("complete", "ACKNOWLEDGED"), ("cancel", "CANCELLED")])
async def test_an_end_that_was_begun_is_finished_by_the_next_start(stores: StoreKind, verb: str, end: str) -> None:
    store = await stores.open()
    async with staged(store) as on:
        job_id = await a_transferred_job(on)
        on.files.gate.clear()
        call = asyncio.ensure_future(getattr(on.finisher, verb)(job_id, anyone))
        await settle()
        call.cancel()
        await asyncio.wait({call})
        assert await on.state(job_id) == "TRANSFERRED"
    await store.close()
    store = await stores.open()
    async with staged(store, files=FakeFiles()) as on:
        assert await on.state(job_id) == end
        assert len(on.files.published or on.files.discarded) == 2
        assert (await on.moves(job_id))[-1] == ("TRANSFERRED", end)
    await store.close()
