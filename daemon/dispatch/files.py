"""The local side of a job's files for the queue: publish and discard, with the owner's rights, off the event loop."""

import asyncio
from collections.abc import Sequence

from daemon.dispatch.outcome import lost, refused
from daemon.identity import Executors
from jobqueue.finish import Published
from jobqueue.job import File, Owner
from transfer import publishing
from transfer.errors import LocalFileError


class OwnerFiles:
    """jobqueue.finish.LocalFiles over transfer.publishing."""

    def __init__(self, executors: Executors) -> None:
        self._executors = executors

    async def publish(self, owner: Owner, files: Sequence[File]) -> Published:
        """Give each file its local name, in order, until one fails."""

        def work() -> Published:
            done: set[int] = set()
            for file in files:
                try:
                    publishing.publish(
                        file.temporary_name,
                        file.local_name,
                        file.offset,
                        last_modified=file.last_modified,
                        inode=file.inode,
                        mtime=file.mtime,
                    )
                except LocalFileError as error:
                    return Published(frozenset(done), refused(error), lost(file, error))
                done.add(file.index)
            return Published(frozenset(done))

        return await asyncio.get_running_loop().run_in_executor(self._executors.of(owner), work)

    async def discard(self, owner: Owner, files: Sequence[File]) -> Sequence[str]:
        """Remove their temporary files; returns the paths that could not be removed."""

        def work() -> Sequence[str]:
            left: list[str] = []
            for file in files:
                try:
                    publishing.discard(file.temporary_name)
                except LocalFileError as error:
                    left.append(error.path)
            return left

        return await asyncio.get_running_loop().run_in_executor(self._executors.of(owner), work)
