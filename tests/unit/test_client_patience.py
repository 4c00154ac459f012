"""Patience asks again, on a clock of its own, and only somebody who has answered before."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from daemon.client.errors import ServiceUnreachable
from daemon.client.patience import Patience, pause


def failing(times: int) -> Callable[[], Coroutine[None, None, str]]:
    """A request that is answered after so many failures."""
    left = iter(range(times))

    async def request() -> str:
        if next(left, None) is not None:
            raise ServiceUnreachable.at("/s", "gone")
        return "answer"

    return request


async def test_a_service_that_comes_back_is_asked_again_and_said_to_be_back() -> None:
    said: list[str] = []
    assert await Patience(said.append, has_answered=True, pause=0).call(failing(3)) == "answer"
    assert said == ["cannot reach bitsd at /s: gone; waiting 30 s for it to come back", "the service is back"]


async def test_a_service_that_never_answered_is_not_waited_for() -> None:
    said: list[str] = []
    with pytest.raises(ServiceUnreachable):
        await Patience(said.append).call(failing(1))
    assert said == []


async def test_one_answer_is_enough_to_be_waited_for_later() -> None:
    patience = Patience(lambda _: None, pause=0)
    assert await patience.call(failing(0)) == "answer"
    assert await patience.call(failing(2)) == "answer"


async def test_patience_ends() -> None:
    with pytest.raises(ServiceUnreachable):
        await Patience(lambda _: None, has_answered=True, limit=0, pause=0).call(failing(1000))


async def test_a_stop_ends_the_waiting_at_once() -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(ServiceUnreachable):
        await Patience(lambda _: None, stop=stop, has_answered=True, pause=1000).call(failing(1))


async def test_a_pause_tells_whether_it_was_cut_short() -> None:
    stop = asyncio.Event()
    assert not await pause(stop, 0)
    stop.set()
    assert await pause(stop, 1000)
