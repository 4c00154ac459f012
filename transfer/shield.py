"""Work that a cancellation may delay but never cut: a write, a sync, the record of one.

Owns that one promise; used where stopping half way would leave the file and what is known about it apart.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Awaitable[T]) -> T:
    """The result of `work`; a cancellation that arrives meanwhile is raised after `work` has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):  # one more of them changes nothing
                await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain; a cancelled transfer reports nothing
        raise
