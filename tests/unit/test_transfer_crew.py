"""Works of many transfers in one turn of a thread."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor
from functools import partial

import pytest

from transfer.crew import Crew, Turn, Work

Told = list[str]
HERE, ELSEWHERE = "/srv/here", "/srv/elsewhere"


@pytest.fixture
def crew() -> Iterator[Crew]:
    with Crew(4) as made:
        yield made


@pytest.fixture
def told() -> Told:
    return []


def work(told: Told, name: str, turn: Turn) -> Generator[None, None, str]:
    told.append(f"{name} writes")
    yield
    turn.once(lambda what: told.append(f"{what} is synced"), "the folder")
    told.append(f"{name} syncs")
    return name


def held(gate: threading.Event) -> Callable[[], bool]:
    return partial(gate.wait, 60)


async def behind(crew: Crew, gate: threading.Event, *works: Work[str]) -> list[str | BaseException]:
    """What comes of works that are sent while a thread is busy."""
    first = crew.share(HERE, held(gate))
    futures = [crew.share_stages(HERE, one) for one in works]
    gate.set()
    await first
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_works_that_come_during_a_turn_share_the_next_stage_by_stage(crew: Crew, told: Told) -> None:
    one, two = (partial(work, told, name) for name in ("one", "two"))
    assert await behind(crew, threading.Event(), one, two) == ["one", "two"]
    assert [step for step in told if "is synced" not in step] == [
        "one writes",
        "two writes",
        "one syncs",
        "two syncs",
    ]


async def test_what_is_needed_once_in_a_turn_is_done_once(crew: Crew) -> None:
    done: Told = []

    def needing(turn: Turn) -> Generator[None, None, str]:
        yield
        turn.once(done.append, "the folder")
        return "done"

    assert await behind(crew, threading.Event(), needing, needing, needing) == ["done"] * 3
    assert done == ["the folder"]
    await crew.share_stages(HERE, needing)
    assert done == ["the folder"] * 2, "a new turn does it again"


async def test_what_failed_once_is_tried_by_the_next_of_the_turn(crew: Crew) -> None:
    tries: Told = []

    def sync(what: str) -> None:
        tries.append(what)
        if len(tries) == 1:
            raise OSError(5, "the disk is away")

    def needing(turn: Turn) -> Generator[None, None, str]:
        yield
        turn.once(sync, "the folder")
        return "done"

    first, second = await behind(crew, threading.Event(), needing, needing)
    assert isinstance(first, OSError)
    assert second == "done"


@pytest.mark.parametrize("stage", [1, 2])
async def test_one_that_fails_does_not_hurt_the_others(crew: Crew, told: Told, stage: int) -> None:
    def failing(_turn: Turn) -> Generator[None, None, str]:
        if stage == 1:
            raise OSError(28, "no room")
        yield
        raise OSError(28, "no room")

    before, failed, after = await behind(
        crew, threading.Event(), partial(work, told, "one"), failing, partial(work, told, "two")
    )
    assert (before, after) == ("one", "two")
    assert isinstance(failed, OSError)
    assert failed.errno == 28


async def test_a_turn_that_hangs_does_not_hold_up_those_who_come_after_it(crew: Crew, told: Told) -> None:
    gate = threading.Event()
    hung = crew.share(HERE, held(gate))
    assert await crew.share_stages(HERE, partial(work, told, "one")) == "one"
    assert not hung.done()
    gate.set()
    assert await hung


async def test_a_disk_that_hangs_holds_up_nobody_elsewhere(crew: Crew, told: Told) -> None:
    gate, hanging = threading.Event(), threading.Event()
    first = crew.share(HERE, held(gate))
    hung = crew.share(HERE, held(hanging))
    beside = crew.share_stages(ELSEWHERE, partial(work, told, "one"))
    gate.set()
    assert await first
    assert await beside == "one"
    assert not hung.done()
    hanging.set()
    assert await hung


async def test_a_thread_that_cannot_begin_is_an_error_for_everybody_who_waits(told: Told) -> None:
    gate = threading.Event()

    def take_on_the_identity() -> None:
        gate.wait(60)
        raise PermissionError(1, "cannot take on the identity")

    with Crew(1, "files", take_on_the_identity) as crew:
        first, second = (
            crew.share_stages(HERE, partial(work, told, "one")),
            crew.share_stages(HERE, partial(work, told, "two")),
        )
        gate.set()
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [isinstance(outcome, BrokenExecutor) for outcome in outcomes] == [True, True]
    assert told == []


async def test_without_a_thread_to_be_had_the_work_fails_and_the_next_is_tried(
    crew: Crew, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_work: Callable[..., object], *_: object) -> None:
        raise OSError(11, "no thread")

    with monkeypatch.context() as patch:
        patch.setattr(crew, "submit", none)
        with pytest.raises(OSError, match="no thread"):
            await crew.share_stages(HERE, partial(work, told, "one"))
    assert await crew.share_stages(HERE, partial(work, told, "two")) == "two"


async def test_threads_that_are_sent_home_take_nobodys_outcome_along(told: Told) -> None:
    crew, gate = Crew(1), threading.Event()
    busy = crew.submit(gate.wait, 60)
    future = crew.share_stages(HERE, partial(work, told, "one"))
    crew.shutdown(wait=False, cancel_futures=True)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert await asyncio.wrap_future(busy)
    assert told == []
