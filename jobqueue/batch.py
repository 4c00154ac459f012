"""Many calls in one commit: each as it would be alone, in order, and each seeing what those before it did.

A call that is refused leaves nothing behind and does not hold up the others, or, in a batch that is all or nothing, is
the end of all of them. Refuses to know what the calls are.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from jobqueue.change import Change
from jobqueue.errors import JobQueueError, NotCarriedOutError
from jobqueue.queue import JobQueue

T = TypeVar("T")
Done = Sequence[T | JobQueueError]
"""What came of each call so far: its result, or why it was refused."""
Step = Callable[[Change, Done[T]], T]
"""A call; it is told what came of those before it. Raises JobQueueError when it is refused."""


class _StoppedError(Exception):
    """A call was refused: what came before it is undone."""

    def __init__(self, position: int, refusal: JobQueueError) -> None:
        super().__init__()
        self.position = position
        self.refusal = refusal


async def carry_out(queue: JobQueue, steps: Sequence[Step[T]], *, is_atomic: bool) -> Done[T]:
    """What came of each call, once it is committed; with `is_atomic`, of one that is refused all others are
    NotCarriedOutError, and nothing is changed.

    Raises StoreFullError, StoreFailedError: nothing is changed.
    """

    def at_once(change: Change) -> Done[T]:
        done: list[T | JobQueueError] = []
        for step in steps:
            try:
                done.append(step(change, done))
            except JobQueueError as refusal:
                raise _StoppedError(len(done), refusal) from refusal
        return done

    def one_by_one(change: Change) -> Done[T]:
        done: list[T | JobQueueError] = []
        for step in steps:
            try:
                done.append(change.tx.attempt(lambda step=step: step(change, done)))  # type: ignore[misc]
            except JobQueueError as refusal:
                done.append(refusal)
        return done

    try:
        return await queue.change(at_once)
    except _StoppedError as stopped:
        if not is_atomic:
            return await queue.change(one_by_one)  # slower; that none is refused is the rule
        why = f"item {stopped.position} of the batch was refused, and the batch is all or nothing"
        others = [NotCarriedOutError(why) for _ in steps]
        return [*others[: stopped.position], stopped.refusal, *others[stopped.position + 1 :]]
