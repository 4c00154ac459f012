"""What can be asked of a store, with the same answers from SQLite and from its twin in memory."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from jobqueue.errors import FileNotInJobError, NotFoundError
from jobqueue.job import Event, Job, Owner, Priority, State
from jobqueue.store import Store
from jobqueue.transaction import EventQuery, IdempotentRequest, JobQuery, Transaction
from tests.builders import ANNA, BEN, a_file, a_job
from tests.stores import StoreKind

ALL = JobQuery()
EVERY_EVENT = EventQuery(after=0, limit=1000)


def named(job_id: str, state: State = State.SUSPENDED, **fields: object) -> Job:
    return replace(a_job(state, **fields), id=job_id)


def inserting(*jobs: Job, wake_at: float | None = None) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for job in jobs:
            tx.insert_job(job, wake_at)

    return work


def ids(tx: Transaction, query: JobQuery = ALL) -> list[str]:
    return [job.id for job in tx.jobs(tx.job_rows(query))]


async def test_unknown_jobs_and_files_are_told_apart(store: Store) -> None:
    await store.write(inserting(named("a")))
    with pytest.raises(NotFoundError):
        await store.read(lambda tx: tx.job("b"))
    for index in (-1, 0, 2**31):
        with pytest.raises(FileNotInJobError):
            await store.read(lambda tx, index=index: tx.file("a", index))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.files("b")) in ([], ())


async def test_a_listing_is_in_the_order_of_creation_and_never_holds_a_final_job(store: Store) -> None:
    await store.write(inserting(*(named(state, state) for state in State)))
    live = [str(state) for state in State if not state.is_final]
    assert await store.read(ids) == live
    assert await store.read(lambda tx: ids(tx, JobQuery(states=(State.CANCELLED,)))) == []
    assert await store.read(lambda tx: tx.count_jobs()) == len(live)
    assert [job.id for job in await store.read(lambda tx: list(tx.every_job()))] == [str(state) for state in State]


async def test_jobs_are_counted_by_state(store: Store) -> None:
    await store.write(inserting(named("a", State.QUEUED), named("b", State.QUEUED), named("c", State.ERROR)))
    for states, count in (((State.QUEUED,), 2), ((State.QUEUED, State.ERROR), 3), ((State.TRANSFERRED,), 0)):
        assert await store.read(lambda tx, states=states: tx.count_in(states)) == count  # type: ignore[misc]


async def test_a_listing_is_filtered_by_state_owner_and_change(store: Store) -> None:
    jobs = [
        named("a", State.QUEUED, changed_seq=1),
        named("b", State.ERROR, changed_seq=5, owner=BEN),
        named("c", State.QUEUED, changed_seq=9, owner=BEN),
    ]
    await store.write(inserting(*jobs))

    async def found(**query: object) -> list[str]:
        return await store.read(lambda tx: ids(tx, JobQuery(**query)))  # type: ignore[arg-type]

    assert await found(states=(State.QUEUED,)) == ["a", "c"]
    assert await found(states=(State.QUEUED, State.ERROR)) == ["a", "b", "c"]
    assert await found(states=()) == []
    assert await found(owner_uid=1001) == ["b", "c"]
    assert await found(owner_uid=1001, states=(State.QUEUED,)) == ["c"]
    assert await found(changed_since=5) == ["c"]
    assert await found(changed_since=0) == ["a", "b", "c"]
    assert await store.read(lambda tx: (tx.count_jobs(1000), tx.count_jobs(1001), tx.count_jobs(7))) == (1, 2, 0)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*", ["log", "Log", "log-1", "log[1]", "l?g"]),
        ("log*", ["log", "log-1", "log[1]"]),
        ("l?g", ["log", "l?g"]),
        ("log", ["log"]),
        ("[lL]og", ["log", "Log"]),
        ("[!l]*", ["Log"]),
        ("l[?]g", ["l?g"]),
        ("log[[]1]", ["log[1]"]),
        ("*[", []),
        ("", []),
    ],
)
async def test_a_glob_over_names_means_the_same_in_both_stores(store: Store, glob: str, found: list[str]) -> None:
    await store.write(inserting(*(named(name, display_name=name) for name in ("log", "Log", "log-1", "log[1]", "l?g"))))
    assert await store.read(lambda tx: ids(tx, JobQuery(name=glob))) == found


async def test_a_listing_is_read_in_pages_and_a_row_past_the_end_gives_an_empty_one(store: Store) -> None:
    await store.write(inserting(*(named(f"j{number}") for number in range(10))))
    rows = await store.read(lambda tx: tx.job_rows(ALL))
    assert len(rows) == 10
    assert await store.read(lambda tx: tx.job_rows(ALL, 4)) == rows[:4]
    assert await store.read(lambda tx: tx.job_rows(JobQuery(after_row=rows[3]), 4)) == rows[4:8]
    assert await store.read(lambda tx: tx.job_rows(JobQuery(after_row=rows[3], up_to_row=rows[5]))) == rows[4:6]
    assert await store.read(lambda tx: tx.job_rows(JobQuery(after_row=rows[-1]), 4)) == []


async def test_rows_are_never_given_twice(store: Store) -> None:
    await store.write(inserting(named("a")))
    await store.write(lambda tx: tx.delete_job("a"))
    assert await store.write(lambda tx: tx.insert_job(named("b"), None).row) == 2


async def test_removed_since_tells_final_jobs_and_those_that_left_the_history(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.insert_job(named("live", changed_seq=9), None)
        tx.insert_job(named("old", State.CANCELLED, changed_seq=2), None)
        tx.insert_job(named("ended", State.ACKNOWLEDGED, changed_seq=5), None)
        tx.insert_job(named("bens", State.CANCELLED, changed_seq=6, owner=BEN), None)
        for kind, job_id, uid in (("JOB_STATE", "x", 1000), ("JOB_REMOVED", "gone", 1000), ("JOB_REMOVED", "b", 1001)):
            tx.append_event(Event(kind, job_id, uid, 1.0))

    await store.write(work)

    async def removed(seq: int, uid: int | None) -> list[str]:
        return sorted(await store.read(lambda tx: tx.removed_since(seq, uid)))

    assert await removed(2, None) == ["b", "bens", "ended"]
    assert await removed(1, ANNA.uid) == ["ended", "gone", "old"]
    assert await removed(6, BEN.uid) == []


# what the scheduler asks


async def test_the_line_of_a_level_is_ordered_by_turn_and_then_by_creation(store: Store) -> None:
    jobs = [
        named("late", State.QUEUED, turn=3.0),
        named("tie-1", State.QUEUED, turn=2.0),
        named("tie-2", State.QUEUED, turn=2.0),
        named("early", State.QUEUED, turn=1.0),
        named("ending", State.QUEUED, turn=0.5, intent="CANCEL"),
        named("running", State.TRANSFERRING, turn=0.5),
        named("high", State.QUEUED, turn=0.5, priority=Priority.HIGH),
    ]
    await store.write(inserting(*jobs))
    line = [place.job_id for place in await store.read(lambda tx: tx.queued(Priority.NORMAL.level, None))]
    assert line == ["early", "tie-1", "tie-2", "late"]
    assert [place.job_id for place in await store.read(lambda tx: tx.queued(Priority.NORMAL.level, 2))] == [
        "early",
        "tie-1",
    ]
    assert [place.job_id for place in await store.read(lambda tx: tx.queued(Priority.HIGH.level, 9))] == ["high"]


async def test_due_jobs_come_earliest_first_and_the_next_wake_is_the_earliest(store: Store) -> None:
    assert await store.read(lambda tx: tx.next_wake()) is None
    for job_id, wake_at in (("b", 20.0), ("a", 10.0), ("never", None), ("c", 30.0), ("zero", 0.0)):
        await store.write(inserting(named(job_id), wake_at=wake_at))
    assert [job.id for job in await store.read(lambda tx: tx.due_jobs(20.0, 10))] == ["zero", "a", "b"]
    assert [job.id for job in await store.read(lambda tx: tx.due_jobs(99.0, 2))] == ["zero", "a"]
    assert await store.read(lambda tx: tx.next_wake()) == 0.0
    await store.write(lambda tx: tx.put_job(tx.job("zero"), None))
    assert await store.read(lambda tx: tx.next_wake()) == 10.0


async def test_jobs_are_found_by_state_and_by_intent(store: Store) -> None:
    jobs = [named("q", State.QUEUED), named("t", State.TRANSFERRING), named("e", State.TRANSFERRED, intent="COMPLETE")]
    await store.write(inserting(*jobs))
    found = await store.read(lambda tx: tx.jobs_in((State.TRANSFERRING, State.QUEUED)))
    assert [job.id for job in found] == ["t", "q"]
    assert [job.id for job in await store.read(lambda tx: tx.jobs_with_intent())] == ["e"]


async def test_the_next_files_are_those_that_are_not_transferred(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.insert_job(named("a"), None)
        for index in range(4):
            tx.put_file("a", a_file(index, transferred=index in {0, 2}))

    def following(index: int, limit: int) -> Callable[[Transaction], list[int]]:
        return lambda tx: [file.index for file in tx.next_files("a", index, limit)]

    await store.write(work)
    assert [await store.read(following(index, 9)) for index in range(5)] == [[1, 3], [1, 3], [3], [3], []]
    assert await store.read(following(0, 1)) == [1]


# events


async def test_events_are_numbered_without_gaps_and_found_by_owner_job_and_type(store: Store) -> None:
    def work(tx: Transaction) -> list[int]:
        return [
            tx.append_event(Event(kind, job_id, uid, 1.0, 1.0, {"n": 1}))
            for kind, job_id, uid in (("A", "j", 1), ("B", "j", 1), ("A", "k", 2), ("B", "k", 2))
        ]

    assert await store.write(work) == [1, 2, 3, 4]

    async def found(after: int = 0, limit: int = 99, **query: object) -> list[int]:
        wanted = EventQuery(after, limit, **query)  # type: ignore[arg-type]
        return [event.seq for event in await store.read(lambda tx: tx.events(wanted))]

    assert await found() == [1, 2, 3, 4]
    assert await found(after=2) == [3, 4]
    assert await found(limit=3) == [1, 2, 3]
    assert await found(owner_uid=2) == [3, 4]
    assert await found(job_id="j", types=("B",)) == [2]
    assert await found(types=("A", "B"), after=1, limit=2) == [2, 3]
    assert await found(types=()) == []
    assert await store.read(lambda tx: tx.last_seq()) == 4


async def test_pruned_events_leave_their_floor_and_their_numbers_are_not_given_again(stores: StoreKind) -> None:
    store = await stores.open()
    for at in (1.0, 2.0, 3.0):
        await store.write(lambda tx, at=at: tx.append_event(Event("A", "j", 1, 1.0, at)))  # type: ignore[misc]
    await store.write(lambda tx: tx.prune_events(1.0))
    assert await store.read(lambda tx: (tx.events_floor(), len(tx.events(EVERY_EVENT)))) == (0, 3)
    await store.write(lambda tx: tx.prune_events(2.5))
    assert await store.read(lambda tx: (tx.events_floor(), [e.seq for e in tx.events(EVERY_EVENT)])) == (2, [3])
    await store.write(lambda tx: tx.prune_events(1e9))
    await store.close()
    store = await stores.open()
    assert await store.read(lambda tx: (tx.events_floor(), tx.last_seq())) == (3, 3)
    assert await store.write(lambda tx: tx.append_event(Event("A", "j", 1, 1.0, 9.0))) == 4
    await store.close()


# idempotency


async def test_a_request_is_remembered_for_its_caller_as_long_as_its_job(store: Store) -> None:
    request = IdempotentRequest(1000, "key", "print")

    def work(tx: Transaction) -> None:
        tx.insert_job(named("a"), None)
        tx.remember_request(request, "a")

    await store.write(work)
    assert await store.read(lambda tx: tx.idempotent_job(request)) == ("print", "a")
    assert await store.read(lambda tx: tx.idempotent_job(replace(request, fingerprint="x"))) == ("print", "a")
    assert await store.read(lambda tx: tx.idempotent_job(replace(request, uid=1))) is None
    assert await store.read(lambda tx: tx.idempotent_job(replace(request, key="k"))) is None
    await store.write(lambda tx: tx.delete_job("a"))
    assert await store.read(lambda tx: tx.idempotent_job(request)) is None


async def test_the_owner_of_a_job_may_change(store: Store) -> None:
    await store.write(inserting(named("a")))
    await store.write(lambda tx: tx.put_job(replace(tx.job("a"), owner=Owner(5, 5, "five")), None))
    assert await store.read(lambda tx: (tx.count_jobs(1000), tx.count_jobs(5))) == (0, 1)
