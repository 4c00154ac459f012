"""The queue against a model of it: whatever its owners, its transfers and the power supply do, in whatever order."""

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import looptime
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobqueue.errors import EmptyJobError, InvalidStateError
from jobqueue.job import Event, File, Finished, Job, Outcome, Priority
from jobqueue.order import Slots
from tests.builders import NO_LIMITS, a_file, fatal, transient
from tests.queue_stage import Stage, anyone, new_job, pass_time, settle, wired
from tests.stores import MemoryKind, SqliteKind, StoreKind

T = TypeVar("T")
SLOTS = Slots(foreground=0, background=2, time_slice=50.0)
RUNNABLE = "runnable"
"""QUEUED or TRANSFERRING: which of them is the scheduler's business, checked by its rules below."""
FINAL = {"ACKNOWLEDGED", "CANCELLED"}
PICK = st.integers(0, 10**6)


@dataclass
class Model:
    """What its owner knows about a job."""

    priority: Priority
    files: int
    state: str = "SUSPENDED"
    done: set[int] = field(default_factory=set)
    retry_at: float = 0.0
    revision: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Random lives of a queue."""

    @initialize(is_durable=st.booleans())
    def start(self, is_durable: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.kind: StoreKind = SqliteKind(Path(self.directory.name)) if is_durable else MemoryKind()
        self.runner = asyncio.Runner(loop_factory=looptime_loop)
        self.models: dict[str, Model] = {}
        self.run(self.open())

    def teardown(self) -> None:
        self.run(self.close())
        self.runner.close()
        self.directory.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> None:
        self.store = await self.kind.open()
        self.stage: Stage = await wired(self.store, slots=SLOTS, limits=NO_LIMITS)
        self.serving = asyncio.ensure_future(self.stage.scheduler.serve())
        await settle()

    async def close(self) -> None:
        self.stage.scheduler.stop()
        await self.serving
        await self.store.close()

    def pick(self, number: int) -> str:
        return list(self.models)[number % len(self.models)]

    def pick_running(self, number: int) -> str:
        running = [job_id for job_id in self.models if job_id in self.stage.transfers.running]
        return running[number % len(running)]

    # what owners do

    @rule(priority=st.sampled_from(Priority), files=st.integers(0, 3), is_resumed=st.booleans())
    def create_one(self, priority: Priority, files: int, is_resumed: bool) -> None:
        self.create(priority, files, is_resumed=is_resumed)

    def create(self, priority: Priority, files: int, *, is_resumed: bool) -> None:
        new = new_job(files=files, resume=is_resumed, priority=priority)
        try:
            job = self.run(self.stage.queue.create(new))
        except EmptyJobError:
            assert is_resumed
            assert files == 0
            return
        self.models[job.id] = Model(priority, files, RUNNABLE if is_resumed else "SUSPENDED")

    @rule(priorities=st.lists(st.sampled_from(Priority), min_size=2, max_size=4))
    def crowd(self, priorities: list[Priority]) -> None:
        """Several jobs to run at once: more than there are slots, soon."""
        for priority in priorities:
            self.create(priority, 1, is_resumed=True)

    @precondition(lambda self: self.models)
    @rule(pick=PICK, verb=st.sampled_from(["suspend", "resume", "complete", "cancel", "add", "prioritise"]))
    def call(self, pick: int, verb: str) -> None:
        job_id = self.pick(pick)
        model = self.models[job_id]
        before = self.run(self.stage.record(job_id))
        try:
            result = self.run(self.make(verb, job_id))
        except InvalidStateError:
            assert model.state in FINAL
            assert self.run(self.stage.record(job_id)) == before
            return
        except EmptyJobError:
            assert (verb, model.files) == ("resume", 0)
            assert self.run(self.stage.record(job_id)) == before
            return
        assert model.state not in FINAL
        match verb:
            case "suspend":
                model.state = "SUSPENDED"
            case "resume":
                assert model.files
                model.state = "TRANSFERRED" if len(model.done) == model.files else RUNNABLE
            case "complete":
                whole = 0 < model.files == len(model.done)
                assert result == ("S_OK" if whole else "BG_S_PARTIAL_COMPLETE")
                model.state = "ACKNOWLEDGED"
            case "cancel":
                assert result == "S_OK"
                model.state = "CANCELLED"
            case "add":
                model.files += 1
            case _:
                model.priority = Priority.HIGH if model.priority is not Priority.HIGH else Priority.LOW

    async def make(self, verb: str, job_id: str) -> object:
        queue, finisher = self.stage.queue, self.stage.finisher
        match verb:
            case "complete":
                return (await finisher.complete(job_id, anyone))[1]
            case "cancel":
                return (await finisher.cancel(job_id, anyone))[1]
            case "add":
                return await queue.add_files(job_id, anyone, [a_file()])
            case "prioritise":
                model = self.models[job_id]
                other = Priority.HIGH if model.priority is not Priority.HIGH else Priority.LOW
                return await queue.set_properties(job_id, anyone, {"priority": other})
            case "suspend":
                return await queue.suspend(job_id, anyone)
            case _:
                return await queue.resume(job_id, anyone)

    # what transfers do

    @precondition(lambda self: self.stage.transfers.running)
    @rule(pick=PICK, is_last=st.booleans())
    def fetch(self, pick: int, is_last: bool) -> None:
        """A file arrives; with the last one the attempt ends."""
        job_id = self.pick_running(pick)
        model = self.models[job_id]
        missing = [index for index in range(model.files) if index not in model.done]
        for index in missing if is_last else missing[:1]:
            self.run(self.stage.transferred(job_id, index))
            model.done.add(index)
        if len(model.done) == model.files:
            self.end(job_id, Finished())
            model.state = "TRANSFERRED"

    @precondition(lambda self: self.stage.transfers.running)
    @rule(pick=PICK, is_fatal=st.booleans())
    def fail(self, pick: int, is_fatal: bool) -> None:
        job_id = self.pick_running(pick)
        self.end(job_id, fatal() if is_fatal else transient())
        model = self.models[job_id]
        model.state = "ERROR" if is_fatal else "TRANSIENT_ERROR"
        model.retry_at = self.stage.queue.clock.now() + 60

    def end(self, job_id: str, outcome: Outcome) -> None:
        self.run(self.stage.ends(job_id, outcome))

    # what the world does

    @rule(seconds=st.sampled_from([7.0, 21.0, 70.0]))  # never just the retry delay or the time slice, whatever the sum
    def time_passes(self, seconds: float) -> None:
        self.run(pass_time(seconds))
        for model in self.models.values():
            if model.state == "TRANSIENT_ERROR" and model.retry_at < self.stage.queue.clock.now() - 1:
                model.state = RUNNABLE

    @rule()
    def restart(self) -> None:
        self.run(self.close())
        self.run(self.open())

    @rule()
    def power_fails(self) -> None:
        self.run(self.crash())
        self.run(self.open())

    async def crash(self) -> None:
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving
        await self.kind.crash(self.store)

    # what holds always

    @invariant()
    def everything_holds(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        await settle()
        jobs = await self.stage.queue.read(lambda tx: list(tx.every_job()))
        assert {job.id for job in jobs} == set(self.models)
        for job in jobs:
            files = await self.stage.reports.files(job.id)
            self.check_job(job, files)
        self.check_slots(jobs)
        self.check_events(jobs, await self.stage.events())

    def check_job(self, job: Job, files: Sequence[File]) -> None:
        """It is as the model says."""
        model = self.models[job.id]
        runnable = {"QUEUED", "TRANSFERRING"}
        expected = runnable if model.state == RUNNABLE else {model.state}
        if model.state == "TRANSIENT_ERROR" and model.retry_at < self.stage.queue.clock.now() + 1:
            expected |= runnable
        assert job.state in expected
        assert {file.index for file in files if file.transferred} == model.done
        assert (job.totals.files, job.totals.files_transferred) == (model.files, len(model.done))
        assert job.properties.priority is model.priority
        assert (job.error is not None) == (job.state in {"ERROR", "TRANSIENT_ERROR"})
        assert job.revision >= model.revision
        assert job.intent is None
        model.revision = job.revision

    def check_slots(self, jobs: Sequence[Job]) -> None:
        """Slots go to the highest levels, and none stays empty while a job waits."""
        running = [job.properties.priority.level for job in jobs if job.state == "TRANSFERRING"]
        queued = [job.properties.priority.level for job in jobs if job.state == "QUEUED"]
        assert set(self.stage.transfers.running) == {job.id for job in jobs if job.state == "TRANSFERRING"}
        assert Priority.FOREGROUND.level not in queued
        background = [level for level in running if level != Priority.FOREGROUND.level]
        assert len(background) <= SLOTS.background
        if queued:
            assert len(background) == SLOTS.background
            assert max(background) <= min(queued)

    def check_events(self, jobs: Sequence[Job], events: Sequence[Event]) -> None:
        """They tell the whole story of every job, in order and without gaps."""
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        told = dict.fromkeys(self.models, "SUSPENDED")
        for event in events:
            if event.type == "JOB_STATE":
                assert event.data["from"] == told[event.job_id]
                told[event.job_id] = str(event.data["to"])
        assert told == {job.id: job.state for job in jobs}


def looptime_loop() -> asyncio.AbstractEventLoop:
    """A loop whose time passes at once."""
    loop = looptime.new_event_loop()
    loop.setup_looptime(_enabled=True)
    return loop


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
