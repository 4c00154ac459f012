"""The threads that touch somebody's files, and how short works share their turns.

A thread that is woken for one small file costs more than what it does for it. So short works that come while a turn is
under way wait for the next, and that does all of them: stage by stage, so that one sync brings to the disk what all of
them wrote. Owns no thread's identity, and knows nothing of what is done.
"""

import asyncio
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST_TURN = 0.05
"""Seconds after which those who wait for the end of a turn get one beside it: it may be a disk that hangs."""

Outcome = tuple[Any, Exception | None]


class Turn:
    """One turn of a thread, as its works see it."""

    def __init__(self) -> None:
        self._done: set[Hashable] = set()

    def once(self, work: Callable[[str], None], what: str) -> None:
        """Blocking. Do this unless another work of this turn has done the same; when it fails, each tries."""
        if (work, what) not in self._done:
            work(what)
            self._done.add((work, what))


Work = Callable[[Turn], Generator[None, None, T]]
"""Blocking, and short. Where it yields, the other works of its turn come as far."""
Shared = tuple[Work[Any], "asyncio.Future[Any]"]


class Crew(ThreadPoolExecutor):
    """An executor whose threads may be shared, by works of one event loop.

    The `place` of a shared work is the directory it is about. Others have turns of their own: their disk may hang, and
    this one not. The result of a shared work is not to be cancelled.
    """

    def __init__(
        self, max_workers: int, thread_name_prefix: str = "", initializer: Callable[[], object] | None = None
    ) -> None:
        super().__init__(max_workers, thread_name_prefix, initializer)
        self._waiting: dict[str, list[Shared]] = {}
        """By place, while a turn is under way there: those who wait for its end."""

    def share(self, place: str, work: Callable[[], T]) -> "asyncio.Future[T]":
        """The result of `work`, which is blocking, and short; done together with those that come at the same time."""

        def whole(_turn: Turn) -> Generator[None, None, T]:
            yield from ()
            return work()

        return self.share_stages(place, whole)

    def share_stages(self, place: str, work: Work[T]) -> "asyncio.Future[T]":
        """The same for a work of several stages."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if place in self._waiting:
            self._waiting[place].append((work, future))
        else:
            self._begin(place, [(work, future)])
        return future

    def _begin(self, place: str, group: "list[Shared]") -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting[place] = []
        try:
            running = loop.run_in_executor(self, _do, [work for work, _ in group])
        except (OSError, RuntimeError) as error:  # no thread to be had, or no longer
            del self._waiting[place]
            for _, future in group:
                future.set_exception(error)
            return
        timer = loop.call_later(LONGEST_TURN, self._end, place, waiting)

        def deliver(done: "asyncio.Future[list[Outcome]]") -> None:
            timer.cancel()
            _deliver([future for _, future in group], done)
            self._end(place, waiting)

        running.add_done_callback(deliver)

    def _end(self, place: str, waiting: "list[Shared]") -> None:
        """Whoever has waited for this turn need wait no longer."""
        if self._waiting.get(place) is waiting:
            del self._waiting[place]
            if waiting:
                self._begin(place, waiting)


def _do(works: Sequence[Work[Any]]) -> list[Outcome]:
    """On a thread: all works, stage by stage; one that fails is out, the others go on."""
    turn = Turn()
    outcomes: dict[int, Outcome] = {}
    under_way = {number: work(turn) for number, work in enumerate(works)}
    while under_way:
        for number, stages in tuple(under_way.items()):
            try:
                next(stages)
                continue
            except StopIteration as end:
                outcomes[number] = end.value, None
            except Exception as error:  # noqa: BLE001 - it belongs to whoever sent the work
                outcomes[number] = None, error
            del under_way[number]
    return [outcomes[number] for number in range(len(works))]


def _deliver(futures: "Sequence[asyncio.Future[Any]]", done: "asyncio.Future[list[Outcome]]") -> None:
    if done.cancelled():  # the threads were sent home before they came to it
        for future in futures:
            future.cancel()
        return
    if (failure := done.exception()) is not None:  # the thread could not begin
        for future in futures:
            future.set_exception(failure)
        return
    for future, (result, error) in zip(futures, done.result(), strict=True):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
