"""The whole life of jobs over both stores, with transfers that do what the test says and hours that pass at once."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from jobqueue.errors import InvalidStateError
from jobqueue.job import Failed, Finished, Job, JobError, Priority, State, Yielded
from jobqueue.landing import Landed
from jobqueue.order import Slots
from jobqueue.store import Store
from tests.builders import HOUR, NOT_FOUND, POLICY, TIMED_OUT, a_file, fatal, transient
from tests.queue_stage import FakeFiles, Stage, anyone, pass_time, settle, staged

pytestmark = pytest.mark.looptime
ONE_SLOT = Slots(0, 1, 300.0)


async def set_values(on: Stage, job_id: str, **values: object) -> Job:
    job = await on.queue.set_properties(job_id, anyone, values)
    await settle()
    return job


# an attempt and what it comes to


async def test_a_resumed_job_runs_and_its_end_is_recorded(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=2)
        assert await on.state(job_id) == "TRANSFERRING"
        await on.transferred(job_id, 0, 1)
        await on.ends(job_id, Finished())
        job = await on.job(job_id)
        assert (job.state, job.totals.bytes_transferred, job.totals.bytes_total) == (State.TRANSFERRED, 20, 20)
        assert job.transfer_completed == job.modified
        kinds = [event.type for event in await on.events(job_id)]
        assert kinds == [
            "JOB_CREATED", "JOB_STATE", "JOB_STATE", "FILE_TRANSFERRED", "FILE_TRANSFERRED", "JOB_STATE",
            "JOB_TRANSFERRED",
        ]  # fmt: skip
        assert await on.moves(job_id) == [
            ("SUSPENDED", "QUEUED"), ("QUEUED", "TRANSFERRING"), ("TRANSFERRING", "TRANSFERRED"),
        ]  # fmt: skip


async def test_a_fatal_failure_is_an_error_at_once_and_is_told(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, fatal())
        job = await on.job(job_id)
        assert (job.state, job.error_count) == (State.ERROR, 1)
        assert job.error == replace(NOT_FOUND, at=job.modified)
        (event,) = await on.events(job_id, "JOB_ERROR")
        assert event.data == {"code": NOT_FOUND.code, "message": NOT_FOUND.message}


async def test_a_transient_failure_waits_out_its_delay_and_is_tried_again(store: Store) -> None:
    async with staged(store, jitter=1.0) as on:
        job_id = await on.create()
        await on.ends(job_id, transient())
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(65.5)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(1.0)
        assert await on.state(job_id) == "TRANSFERRING"
        assert (await on.moves(job_id))[2:] == [
            ("TRANSFERRING", "TRANSIENT_ERROR"), ("TRANSIENT_ERROR", "QUEUED"), ("QUEUED", "TRANSFERRING"),
        ]  # fmt: skip
        assert (await on.job(job_id)).error is None
        assert await on.events(job_id, "JOB_ERROR") == []


async def test_resume_during_the_wait_retries_at_once(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, transient(retry_after=3000))
        await pass_time(100)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        assert (await on.queue.resume(job_id, anyone)).state is State.QUEUED
        await settle()
        assert on.transfers.started == [job_id, job_id]


async def fail_until(on: Stage, job_id: str, last: float) -> None:
    """Every attempt fails at once, without a byte."""
    while on.queue.clock.now() < last:
        if job_id in on.transfers.running:
            await on.ends(job_id, transient())
        await pass_time(1.0)


async def test_a_job_that_keeps_failing_without_a_byte_is_an_error_when_its_time_is_up(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(no_progress_timeout=150)
        started = on.queue.clock.now()
        await fail_until(on, job_id, started + 140)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(15)
        job = await on.job(job_id)
        assert (job.state, job.error_count, len(on.transfers.started)) == (State.ERROR, 3, 3)
        assert job.error is not None
        assert job.error.code == TIMED_OUT.code  # the last failure's (§3.2.4)
        assert len(await on.events(job_id, "JOB_ERROR")) == 1


@pytest.mark.parametrize("is_synced", [True, False])
async def test_one_byte_is_progress_enough_to_go_on(store: Store, is_synced: bool) -> None:
    async with staged(store) as on:
        job_id = await on.create(no_progress_timeout=100)
        for attempt in range(5):
            if is_synced:
                await on.reports.synced(job_id, 0, Landed(attempt + 1, 0, 0))
            await on.ends(job_id, transient(moved=not is_synced))
            assert await on.state(job_id) == "TRANSIENT_ERROR"
            await pass_time(61)
        assert await on.state(job_id) == "TRANSFERRING"
        assert (await on.job(job_id)).error_count == 5


async def test_timeout_zero_makes_the_present_transient_error_final_at_once(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, transient())
        job = await set_values(on, job_id, no_progress_timeout=0)
        assert job.state is State.ERROR  # in the very answer
        assert len(await on.events(job_id, "JOB_ERROR")) == 1
        other = await on.create(no_progress_timeout=0)
        await on.ends(other, transient())
        assert (await on.moves(other))[-1] == ("TRANSFERRING", "ERROR")


@pytest.mark.parametrize(("seconds", "state"), [(200, State.ERROR), (201 + 60, State.TRANSIENT_ERROR)])
async def test_a_changed_timeout_is_judged_at_once(store: Store, seconds: int, state: State) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, transient(retry_after=5000))
        await pass_time(200)
        assert (await set_values(on, job_id, no_progress_timeout=seconds)).state is state
        await pass_time(70)
        assert await on.state(job_id) == "ERROR"


async def test_a_shorter_retry_delay_counts_for_the_present_wait(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(minimum_retry_delay=5000)
        await on.ends(job_id, transient())
        await pass_time(20)
        await set_values(on, job_id, minimum_retry_delay=30)
        await pass_time(9)
        assert await on.state(job_id) == "TRANSIENT_ERROR"
        await pass_time(2)
        assert await on.state(job_id) == "TRANSFERRING"


@pytest.mark.parametrize(
    ("code", "counts"), [("BG_E_NETWORK_DISCONNECTED", 0), ("BG_E_DESTINATION_LOCKED", 0), ("BG_E_CONNECT_FAILURE", 1)]
)
async def test_some_errors_are_not_the_jobs_fault_and_do_not_count(store: Store, code: str, counts: int) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, Failed(JobError(code, 1, "GENERAL_TRANSPORT", "x"), transient=True))
        assert (await on.job(job_id)).error_count == counts


async def test_a_bug_in_a_transfer_is_an_error_of_its_job_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async with staged(store) as on:
        broken, fine = await on.create("broken"), await on.create("fine")
        on.transfers.running[broken].set_exception(ZeroDivisionError())
        await settle()
        assert await on.states(broken, fine) == ["ERROR", "TRANSFERRING"]
        error = (await on.job(broken)).error
        assert error is not None
        assert error.code == "E_FAIL"
        assert "failed unexpectedly" in caplog.text


async def test_time_in_transferring_beyond_the_maximum_is_an_error(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(maximum_download_time=100)
        await pass_time(60)
        await on.ends(job_id, transient())
        await pass_time(61)  # waiting out a retry does not count
        assert await on.state(job_id) == "TRANSFERRING"
        await pass_time(38)
        assert await on.state(job_id) == "TRANSFERRING"
        await pass_time(3)
        job = await on.job(job_id)
        assert job.state is State.ERROR
        assert job.error is not None
        assert (job.error.code, job.error.hresult) == ("BG_E_MAXDOWNLOAD_TIMEOUT", 0x80200054)
        assert on.transfers.running == {}
        await on.queue.resume(job_id, anyone)
        await pass_time(99)
        assert await on.state(job_id) == "TRANSFERRING"  # Resume starts that clock anew


async def test_a_file_added_while_the_job_runs_is_fetched_in_the_same_run(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.queue.add_files(job_id, anyone, [a_file(7)])
        await on.transferred(job_id, 0)
        await on.ends(job_id, Finished())  # the attempt did not see the new file yet
        assert await on.state(job_id) == "TRANSFERRING"
        assert on.transfers.started == [job_id, job_id]
        await on.transferred(job_id, 1)
        await on.ends(job_id, Finished())
        assert await on.state(job_id) == "TRANSFERRED"
        assert (await on.moves(job_id))[2:] == [("TRANSFERRING", "TRANSFERRED")]


async def test_resume_of_a_transferred_job_comes_back_without_running(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.transferred(job_id)
        await on.ends(job_id, Finished())
        first = await on.job(job_id)
        await pass_time(50)
        assert (await on.queue.resume(job_id, anyone)).state is State.QUEUED
        await settle()
        assert await on.state(job_id) == "TRANSFERRED"
        assert on.transfers.started == [job_id]
        assert (await on.job(job_id)).transfer_completed != first.transfer_completed
        await on.queue.add_files(job_id, anyone, [a_file(1)])
        await settle()
        assert await on.state(job_id) == "TRANSFERRED"  # new files wait for Resume
        await on.queue.resume(job_id, anyone)
        await settle()
        assert await on.state(job_id) == "TRANSFERRING"


# slots, levels, slices


async def test_jobs_never_take_more_than_the_slots_even_while_others_are_stopping(store: Store) -> None:
    async with staged(store, slots=Slots(0, 2, 10.0)) as on:
        on.transfers.linger = 3.0
        jobs = [await on.create(f"j{number}") for number in range(5)]
        high = await on.create("high", priority=Priority.HIGH)
        await pass_time(100)
        assert on.transfers.most == 2
        assert await on.state(high) == "TRANSFERRING"
        assert set(on.transfers.started) == {*jobs, high}


async def test_a_higher_job_preempts_a_lower_one_which_keeps_its_place_and_comes_back(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        low, later = await on.create("low", priority=Priority.LOW), await on.create("later", priority=Priority.LOW)
        high = await on.create("high", priority=Priority.HIGH)
        assert await on.states(low, later, high) == ["QUEUED", "QUEUED", "TRANSFERRING"]
        assert (await on.moves(low))[-1] == ("TRANSFERRING", "QUEUED")
        await on.ends(high, transient())  # a job that waits out a retry blocks nobody
        assert await on.states(low, later) == ["TRANSFERRING", "QUEUED"]
        await pass_time(61)
        assert await on.states(low, later, high) == ["QUEUED", "QUEUED", "TRANSFERRING"]


async def test_equal_jobs_take_turns_by_time_slice(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        first, second = await on.create("first"), await on.create("second")
        await pass_time(299)
        assert on.transfers.started == [first]
        assert on.scheduler.waiting(await on.job(second)) == "slots"
        await pass_time(2)
        assert on.transfers.started == [first, second]
        assert on.scheduler.waiting(await on.job(first)) == "time_slice"
        await pass_time(301)
        assert on.transfers.started == [first, second, first]


async def test_a_job_alone_keeps_running_without_a_visit_to_the_queue(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        job_id = await on.create()
        await pass_time(10 * HOUR)
        assert on.transfers.started == [job_id]
        assert len(await on.moves(job_id)) == 2
        other = await on.create("other")  # its slice was over long ago
        assert await on.states(job_id, other) == ["QUEUED", "TRANSFERRING"]


async def test_a_changed_priority_decides_anew_at_once(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        first, second = await on.create("first"), await on.create("second")
        await set_values(on, second, priority=Priority.HIGH)
        assert await on.states(first, second) == ["QUEUED", "TRANSFERRING"]
        await set_values(on, second, priority=Priority.LOW)
        assert await on.states(first, second) == ["TRANSFERRING", "QUEUED"]
        await set_values(on, second, priority=Priority.FOREGROUND)
        assert await on.states(first, second) == ["TRANSFERRING", "TRANSFERRING"]


async def test_replaced_slots_are_taken_over_at_once(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        jobs = [await on.create(f"j{number}") for number in range(3)]
        on.scheduler.slots = Slots(0, 3, 300.0)
        on.scheduler.rearm()
        await settle()
        assert await on.states(*jobs) == ["TRANSFERRING"] * 3
        on.scheduler.slots = ONE_SLOT
        on.scheduler.rearm()
        await settle()
        assert sorted(await on.states(*jobs)) == ["QUEUED", "QUEUED", "TRANSFERRING"]


async def test_a_replaced_policy_counts_for_jobs_that_wait_already(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.ends(job_id, transient())
        on.queue.policy = replace(POLICY, minimum_retry_delay=10)
        on.scheduler.rearm()
        await pass_time(11)
        assert await on.state(job_id) == "TRANSFERRING"


# the owner comes between


@pytest.mark.parametrize("outcome", [Finished(), Yielded(), transient(), fatal()], ids=lambda o: type(o).__name__)
async def test_an_outcome_that_comes_after_suspend_changes_nothing(store: Store, outcome: object) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        attempt = on.transfers.running[job_id]
        await on.queue.suspend(job_id, anyone)
        if not attempt.done():
            attempt.set_result(outcome)  # type: ignore[arg-type]
        await settle()
        assert on.transfers.running == {}
        job = await on.job(job_id)
        assert (job.state, job.error_count, job.error) == (State.SUSPENDED, 0, None)
        assert (await on.moves(job_id))[-1] == ("TRANSFERRING", "SUSPENDED")


async def test_suspend_keeps_the_bytes_and_resume_goes_on(store: Store) -> None:
    async with staged(store) as on:
        on.transfers.linger = 5.0
        job_id = await on.create()
        await on.reports.synced(job_id, 0, Landed(4, 0, 0))
        await on.queue.suspend(job_id, anyone)
        await on.queue.resume(job_id, anyone)  # while the first attempt still stops
        assert await on.state(job_id) == "QUEUED"
        await pass_time(6)
        assert on.transfers.started == [job_id, job_id]
        assert (await on.job(job_id)).totals.bytes_transferred == 4


async def test_cancel_of_a_running_job_waits_until_it_let_go_of_its_files(store: Store) -> None:
    async with staged(store) as on:
        on.transfers.linger = 5.0
        job_id = await on.create(files=2)
        await on.transferred(job_id, 0)
        before = on.queue.clock.now()
        job, result = await on.finisher.cancel(job_id, anyone)
        assert (job.state, result) == (State.CANCELLED, "S_OK")
        assert on.queue.clock.now() >= before + 5.0
        assert on.transfers.running == {}
        assert len(on.files.discarded) == 2
        assert (await on.moves(job_id))[-1] == ("TRANSFERRING", "CANCELLED")


async def test_stopping_puts_running_jobs_back_in_line_with_their_place(store: Store) -> None:
    async with staged(store, slots=ONE_SLOT) as on:
        first, second = await on.create("first"), await on.create("second")
    async with staged(store, slots=ONE_SLOT) as on:
        assert on.transfers.started == [first]
        assert await on.states(first, second) == ["TRANSFERRING", "QUEUED"]


async def test_a_refusal_names_the_state_and_nothing_is_changed(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create()
        await on.finisher.cancel(job_id, anyone)
        before = await on.record(job_id)
        facts: list[Mapping[str, object]] = []
        for call in (on.queue.suspend, on.queue.resume, on.finisher.complete, on.finisher.cancel):
            with pytest.raises(InvalidStateError) as refused:
                await call(job_id, anyone)
            facts.append(refused.value.facts)
        assert facts == [{"state": State.CANCELLED}] * 4
        assert await on.record(job_id) == before
        assert on.files == FakeFiles(discarded=on.files.discarded, gate=on.files.gate)
