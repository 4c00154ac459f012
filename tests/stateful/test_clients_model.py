"""The queue against a model of it: several clients at once, crashes in mid-call, a full store, a disk that fails.

Every answer must be what some order of the calls explains, and every job, file, event, leftover and secret afterwards
what that order leads to. TORTURE_EXAMPLES=500 makes it a long run, each time another one.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobqueue.errors import HRESULTS, StoreFullError
from jobqueue.job import Event, Finished, Outcome, Priority, State
from tests.builders import ANNA, BEN, DAY, ROOT, fatal, transient
from tests.queue_stage import PowerLostError, pass_time, settle
from tests.stateful.clients import Follower, Mirror, shown
from tests.stateful.stage import Lives, Record, Snapshot
from tests.stateful.world import FINAL, Call, FileView, JobView, Operation, World, explanation, started
from tests.stores import MemoryKind, SqliteKind

EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "0"))
STEPS = 1000
USERS = (ANNA, BEN, ROOT)
HISTORY = 7 * DAY
RETRY = 60
VERBS = [
    *["create"] * 3, "repeat", *["resume"] * 3, *["complete"] * 5, *["cancel"] * 2, "suspend", "add", "add", "describe",
    "prioritise", "limit", "take", "take", "move", "prefix", "validate", "validate", "put_credential",
    "remove_credential",
]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a client is to do, before it is known which jobs there are."""

    verb: str
    user: int
    who: str
    job: int
    number: int
    match: str | None


def plan_of(seed: int) -> Plan:
    """Evenly drawn: what is left to hypothesis repeats itself."""
    random = Random(seed)
    return Plan(
        verb=random.choice(VERBS),
        user=random.randrange(3),
        who=random.choice(["owner", "owner", "owner", "owner", "root", "other"]),
        job=random.randrange(4),
        number=random.randrange(12),
        match=random.choice([None, None, None, "fresh", "fresh", "stale"]),
    )


PLANS = st.integers(0, 10**9).map(plan_of)


class ClientsMachine(RuleBasedStateMachine):
    """Random lives of a queue with three users."""

    steps: ClassVar[int] = 0

    @initialize(is_durable=st.sampled_from([True, True, False]))
    def start(self, is_durable: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.lives = Lives(SqliteKind(Path(self.directory.name)) if is_durable else MemoryKind())
        self.world = World()
        self.keyed: list[Operation] = []
        self.serial = 0
        self.known: dict[str, Record] = {}
        self.locals: dict[str, str] = {}
        """Local names of temporary ones."""
        self.archive: list[Event] = []
        uids = (ANNA.uid, BEN.uid, None)
        self.followers = [Follower(uid) for uid in (*uids, *uids)]
        self.mirrors = [Mirror(uid) for uid in (*uids, *uids)]
        self.lives.run(self.lives.open())
        ClientsMachine.steps -= 1  # the look at the empty queue is none

    def teardown(self) -> None:
        self.lives.end()
        self.directory.cleanup()

    # what clients do

    @rule(plan=PLANS)
    def call(self, plan: Plan) -> None:
        self.play([plan])

    @rule(plans=st.lists(PLANS, min_size=2, max_size=3), later=st.lists(PLANS, max_size=2), is_slow=st.booleans())
    def call_together(self, plans: list[Plan], later: list[Plan], is_slow: bool) -> None:
        """The later ones while the disk keeps the first waiting."""
        self.play(plans, later, is_slow=is_slow)

    @rule(plans=st.lists(PLANS, min_size=2, max_size=4), is_slow=st.booleans())
    def rivals(self, plans: list[Plan], is_slow: bool) -> None:
        """All at one job, which they have all read before."""
        verbs = [plan.verb if plan.verb not in {"create", "repeat"} else "describe" for plan in plans]
        rivals = [replace(plan, job=1, verb=verb, match="fresh") for plan, verb in zip(plans, verbs, strict=True)]
        self.play(rivals[:2], rivals[2:], is_slow=is_slow)

    def play(self, plans: Sequence[Plan], later: Sequence[Plan] = (), *, is_slow: bool = False) -> None:
        async def work() -> list[Call]:
            gate = self.lives.disk.gate
            if is_slow:
                gate.clear()
            sent = self.lives.send(self.planned(plans))
            await settle()
            sent += self.lives.send(self.planned(later))
            await settle()
            gate.set()
            await settle()
            assert all(one.task.done() for one in sent)
            return [one.call() for one in sent]

        self.conclude(self.lives.run(work()))

    @rule(number=st.integers(3, 5))
    def a_lazy_client_reads_on(self, number: int) -> None:
        self.lives.run(self.followers[number].read(self.lives.stage.queue))
        self.lives.run(self.mirrors[number].refresh(self.lives.stage.queue))

    # what transfers do

    @rule(
        user=st.integers(0, 2),
        count=st.integers(1, 3),
        flaw=st.sampled_from([None, None, "locked", "lost", "unremovable"]),
    )
    def a_whole_job(self, user: int, count: int, flaw: str | None) -> None:
        """Created, and everything arrives; its last file may be one that cannot be renamed or removed now."""
        self.play([Plan("create", user, "owner", count - 1, 1, None)])
        name = f"job-{self.serial}"
        if name in self.world.jobs:
            self.arrive(name, is_last=True)
            if flaw is not None:
                self.spoil(flaw, self.world.jobs[name].files[-1].local)

    @precondition(lambda self: self.lives.stage.transfers.running)
    @rule(pick=st.integers(0, 9), is_last=st.booleans())
    def fetch(self, pick: int, is_last: bool) -> None:
        """A file arrives; with the last one the attempt ends."""
        self.arrive(self.pick_running(pick), is_last=is_last)

    def arrive(self, name: str, *, is_last: bool) -> None:
        missing = [index for index, file in enumerate(self.world.jobs[name].files) if not file.done]
        for index in missing if is_last else missing[:1]:
            self.lives.run(self.lives.stage.transferred(self.lives.ids[name], index))
            self.world.jobs[name] = self.world.jobs[name].with_file(index, done=True, validated=None)
        if self.world.jobs[name].is_whole:
            self.attempt_ends(name, Finished(), "TRANSFERRED")
        self.conclude([], {name})

    @precondition(lambda self: self.lives.stage.transfers.running)
    @rule(pick=st.integers(0, 9), is_fatal=st.booleans())
    def fail(self, pick: int, is_fatal: bool) -> None:
        name = self.pick_running(pick)
        outcome, state = (fatal(), "ERROR") if is_fatal else (transient(moved=True), "TRANSIENT_ERROR")
        self.attempt_ends(name, outcome, state)
        self.conclude([], {name})

    def pick_running(self, pick: int) -> str:
        running = [name for name in self.world.jobs if self.lives.ids[name] in self.lives.stage.transfers.running]
        return running[pick % len(running)]

    def attempt_ends(self, name: str, outcome: Outcome, state: str) -> None:
        self.lives.run(self.lives.stage.ends(self.lives.ids[name], outcome))
        self.world.jobs[name] = replace(self.world.jobs[name], state=state)

    # what the world does

    @precondition(lambda self: self.world.jobs)
    @rule(job=st.integers(0, 3), index=st.integers(0, 2), how=st.sampled_from(["locked", "lost", "unremovable"]))
    def the_disk_turns_bad(self, job: int, index: int, how: str) -> None:
        record = self.known.get(self.target(job))
        if record is not None and record.files:
            self.spoil(how, record.files[index % len(record.files)].local_name)

    def spoil(self, how: str, local: str) -> None:
        setattr(self.world, how, getattr(self.world, how) | {local})
        self.tell_the_disk()

    @precondition(lambda self: self.lives.disk.stuck or self.lives.disk.lost)
    @rule()
    def the_disk_is_mended(self) -> None:
        self.world.locked = self.world.lost = self.world.unremovable = frozenset()
        self.tell_the_disk()

    def tell_the_disk(self) -> None:
        temporaries = {temporary for temporary, local in self.locals.items() if local in self.world.unremovable}
        self.lives.disk.stuck = self.world.locked | temporaries
        self.lives.disk.lost = self.world.lost

    @rule(seconds=st.sampled_from([7.0, 21.0, 70.0, 4_000.0, 400_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.lives.run(self.clear_of_timers(seconds))
        self.conclude([], self.waiting())
        if seconds >= 4_000:
            self.check_leftovers_were_retried()

    def waiting(self) -> set[str]:
        """Jobs whose retry may come as time passes."""
        return {name for name, job in self.world.jobs.items() if job.state == "TRANSIENT_ERROR"}

    async def clear_of_timers(self, seconds: float = 0.0) -> None:
        """Let time go by until it is clear for every timer whether it has gone off."""
        while True:
            await pass_time(seconds)
            seconds = 2.5
            due = [record.job.timers for record in self.known.values()]
            ends = [(timers.failed_at or 0.0) + RETRY for timers in due]
            ends += [timers.final_at + HISTORY for timers in due if timers.final_at is not None]
            if all(abs(end - self.lives.now) > 1 for end in ends):
                return

    @rule(plans=st.lists(PLANS, min_size=1, max_size=3), spared=st.integers(0, 4), ends=st.booleans())
    def the_store_is_full_for_a_while(self, plans: list[Plan], spared: int, ends: bool) -> None:
        """What finds no room is refused and changes nothing; what was begun goes on later, and an attempt's end too."""

        async def work() -> list[Call]:
            store, attempts = self.lives.stage.store, self.lives.stage.transfers.running
            store.refuses, store.spared = StoreFullError("full"), spared
            sent = self.lives.send(self.planned(plans))
            await settle()
            failed = [name for name in self.world.jobs if self.lives.ids[name] in attempts][-1:] if ends else []
            for name in failed:
                attempts[self.lives.ids[name]].set_result(fatal())
            await pass_time(7.0)
            store.refuses = None
            await self.clear_of_timers(7.0)
            assert all(one.task.done() for one in sent)
            return [one.call() for one in sent] + [
                Call(Operation("attempt fails", ROOT, name), "done", sent=0) for name in failed
            ]

        calls = self.lives.run(work())
        begun = {"complete", "cancel"}  # their intent may be on record
        left = [replace(call, answer=None) if call.answer == "STORE_FULL" else call for call in calls]
        left = [call for call in left if call.answer or call.operation.verb in begun]
        self.conclude(left, self.waiting())

    @rule(plans=st.lists(PLANS, max_size=2), is_slow=st.booleans())
    def restart(self, plans: list[Plan], is_slow: bool) -> None:
        async def work() -> list[Call]:
            if is_slow:
                self.lives.disk.gate.clear()
            sent = self.lives.send(self.planned(plans))
            await self.lives.stop()
            return [one.call() for one in sent]

        self.begin_again(self.lives.run(work()))

    @rule(plans=st.lists(PLANS, max_size=3), spared=st.integers(0, 5), heard=st.integers(0, 5), is_slow=st.booleans())
    def power_fails(self, plans: list[Plan], spared: int, heard: int, is_slow: bool) -> None:
        """After so many commits, some of which were answered, or when all is done that can be."""

        async def work() -> list[Call]:
            store = self.lives.stage.store
            store.refuses, store.spared = PowerLostError(heard), spared
            if is_slow:
                self.lives.disk.gate.clear()
            sent = self.lives.send(self.planned(plans))
            await settle()
            for follower in self.followers[:3]:
                await follower.read(self.lives.stage.queue)
            calls = [one.call() for one in sent]
            await self.lives.crash()
            return calls

        self.begin_again(self.lives.run(work()))

    def begin_again(self, calls: Sequence[Call]) -> None:
        """Nothing that was answered is lost, nothing that was not is there by halves."""
        self.lives.run(self.lives.open())
        self.lives.run(self.clear_of_timers())
        self.conclude(calls, {name for name, job in self.world.jobs.items() if "TRANS" in job.state})
        self.check_leftovers_were_retried()

    # what holds

    def conclude(self, calls: Sequence[Call], touched: set[str] | None = None) -> None:
        """Some order of the calls explains what there is now; jobs that nothing was done to are as they were."""
        seen = self.lives.run(self.lives.look())
        self.locals |= {
            file.temporary_name: file.local_name for record in seen.records.values() for file in record.files
        }
        views = {name: record.view for name, record in seen.records.items()}
        found = explanation(self.world, calls, self.is_true(seen, views))
        assert found is not None, self.unexplained(calls, views)
        for call in calls:
            if not is_refusal(call.answer):
                touched = (touched or set()) | {call.operation.name}
        for name in self.known.keys() & seen.records.keys() - (touched or set()):
            assert seen.records[name] == self.known[name]
        left = self.left_over(seen)
        self.world = replace(
            found,
            jobs={name: job for name, job in found.jobs.items() if name in views} | views,
            revisions={name: record.job.revision for name, record in seen.records.items()},
            requests={key: name for key, name in found.requests.items() if name in views},
            discarded=found.discarded | (found.leftovers - left),
            leftovers=left,
        )
        for name, record in self.known.items():
            assert name not in seen.records or seen.records[name].job.revision >= record.job.revision
        self.known = seen.records
        self.seen = seen

    def unexplained(self, calls: Sequence[Call], views: dict[str, JobView]) -> str:
        lines = ["no order explains", *map(str, calls)]
        for name in {*self.world.jobs, *views}:
            if self.world.jobs.get(name) != views.get(name):
                lines += [f"{name} was {self.world.jobs.get(name)}", f"{name} is  {views.get(name)}"]
        disk, world, left = self.lives.disk, self.world, self.left_over(self.lives.run(self.lives.look()))
        removed = {(uid, self.locals[path]) for uid, path in disk.removed}
        lines += [f"named:   {world.published} / {disk.named}", f"removed: {world.discarded} / {removed}"]
        return "\n".join([*lines, f"left:    {world.leftovers} / {left}"])

    def is_true(self, seen: Snapshot, views: dict[str, JobView]) -> Callable[[World], bool]:
        """Compares a world with what there is, but for what time alone does."""
        left = self.left_over(seen)
        removed = {(uid, self.locals[path]) for uid, path in self.lives.disk.removed}
        gone = {
            name
            for name, record in self.known.items()
            if (record.job.timers.final_at or self.lives.now) + HISTORY < self.lives.now
        }
        due = {
            name
            for name, record in self.known.items()
            if record.job.state is State.TRANSIENT_ERROR
            and (record.job.timers.failed_at or 0.0) + RETRY < self.lives.now
        }

        def check(world: World) -> bool:
            jobs = {
                name: replace(job, state="TRANSFERRING")
                if job.state == "TRANSIENT_ERROR" and name in due
                else started(job)
                for name, job in world.jobs.items()
                if name not in gone
            }
            stuck = {(uid, local) for uid, local in world.leftovers if local in world.unremovable}
            return (
                jobs == views
                and self.lives.disk.named == world.published
                and stuck <= left <= world.leftovers
                and removed == world.discarded | (world.leftovers - left)
            )

        return check

    def left_over(self, seen: Snapshot) -> frozenset[tuple[int, str]]:
        return frozenset(
            (leftover.owner.uid, self.locals[leftover.path]) for leftover in seen.leftovers if leftover.owner
        )

    def check_leftovers_were_retried(self) -> None:
        assert {local for _, local in self.world.leftovers} <= self.world.unremovable

    @invariant()
    def everything_holds(self) -> None:
        ClientsMachine.steps += 1
        seen = self.lives.run(self.lives.look())
        running = {name for name, job in self.world.jobs.items() if job.state == "TRANSFERRING"}
        assert set(self.lives.stage.transfers.running) == {self.lives.ids[name] for name in running}
        self.check_events(seen)
        for follower, mirror in zip(self.followers[:3], self.mirrors[:3], strict=True):
            self.lives.run(follower.read(self.lives.stage.queue))
            self.lives.run(mirror.refresh(self.lives.stage.queue))
        for follower in self.followers:
            assert follower.seen == follower.expected(self.archive)
        owners = {event.job_id: event.owner_uid for event in self.archive}
        for mirror in self.mirrors[:3]:
            # a client is not told that its job was taken from it (docs/api.md): such a job stays in its list
            believed = {job_id: job for job_id, job in mirror.shown().items() if mirror.uid in {None, owners[job_id]}}
            jobs = [record.job for record in seen.records.values() if not record.job.state.is_final]
            assert believed == {job.id: shown(job) for job in jobs if mirror.uid in {None, job.owner.uid}}

    def check_events(self, seen: Snapshot) -> None:
        """They tell the whole story of every job; none is ever changed, and only old ones are forgotten."""
        last = self.archive[-1].seq if self.archive else 0
        self.archive += [event for event in seen.events if event.seq > last]
        assert [event.seq for event in self.archive] == list(range(1, len(self.archive) + 1))
        assert seen.events == self.archive[seen.floor :]
        assert all(event.at < self.lives.now - HISTORY + 1 for event in self.archive[: seen.floor])
        told: dict[str, str] = {}
        for event in self.archive:
            if event.type == "JOB_CREATED":
                assert event.job_id not in told
                told[event.job_id] = "SUSPENDED"
            elif event.type == "JOB_STATE":
                assert event.data["from"] == told[event.job_id]
                told[event.job_id] = str(event.data["to"])
            elif event.type == "JOB_REMOVED":
                assert told.pop(event.job_id) in FINAL
        assert told == {record.job.id: record.job.state for record in seen.records.values()}

    # from plans to operations

    def target(self, number: int) -> str:
        """One of the newest jobs that can still change, now and then one that is final, or gone."""
        live = list(self.world.live())[-3:]
        others = [name for name in self.lives.ids if name not in live]
        choice = live + others[-1:] if number == 3 or not live else live
        return choice[number % len(choice)]

    def planned(self, plans: Sequence[Plan]) -> list[Operation]:
        made = [self.operation(plan) for plan in plans]
        operations = [operation for operation in made if operation is not None]
        self.keyed += [operation for operation in operations if operation.key and operation not in self.keyed]
        return operations

    def operation(self, plan: Plan) -> Operation | None:
        self.serial += 1
        if plan.verb == "create":
            return self.creation(plan)
        if plan.verb == "repeat":
            return self.keyed[-1 - plan.number % min(3, len(self.keyed))] if self.keyed else None
        if not self.known:
            return None
        name = self.target(plan.job)
        owner = self.world.jobs[name].owner if name in self.world.jobs else USERS[plan.user]
        owner = ROOT if plan.verb == "take" else owner  # who may do it
        caller = {"owner": owner, "root": ROOT, "other": USERS[plan.user]}[plan.who]
        revision = self.world.revisions.get(name, 1)
        match = {None: None, "fresh": revision, "stale": revision - 1}[plan.match]
        return Operation(plan.verb, caller, name, match, plan.number % 3, self.value(plan))

    def creation(self, plan: Plan) -> Operation:
        owner, name = USERS[plan.user], f"job-{self.serial}"
        key = f"key-{plan.number % 3}" if plan.match else None
        user = "a" if plan.number % 2 else None
        files = self.files(name, 0 if plan.number == 11 else 1 + plan.job % 3)
        return Operation(
            "create", owner, name, value=plan.number % 4 != 0, job=JobView(owner, files, credential=user), key=key
        )

    def files(self, folder: str, count: int) -> tuple[FileView, ...]:
        names = [f"{self.serial}-{index}" for index in range(count)]
        return tuple(FileView(f"/data/{folder}/{name}", f"http://one/{name}") for name in names)

    def value(self, plan: Plan) -> object:
        number = plan.number
        values: dict[str, Sequence[object]] = {
            "prioritise": list(Priority),
            "move": ["http://two/1", "http://two/2"],
            "prefix": [("http://one/", "http://two/"), ("http://two", "http://one"), ("http://three", "")],
            "add": [self.files("added", count) for count in (1, 2)],
            "validate": [True, False],
        }
        choice = values.get(plan.verb, ["a", "b", "c"])
        return choice[number % len(choice)]


def is_refusal(answer: str | None) -> bool:
    """A refused call changed nothing; Complete that failed on the disk may have done a part."""
    return answer in HRESULTS and not answer.startswith(("S_", "BG_S_")) and answer != "E_LOCAL_FILE"


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_every_answer_and_every_job_is_what_some_order_of_the_calls_explains() -> None:
    limits = settings(
        max_examples=EXAMPLES or 80,
        stateful_step_count=40,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    ClientsMachine.steps = 0
    run_state_machine_as_test(ClientsMachine, settings=limits)
    print(f"{ClientsMachine.steps} steps without a difference")  # noqa: T201 - shown by -s and `make torture`
    assert ClientsMachine.steps >= STEPS
