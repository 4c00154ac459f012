"""The local side of a job's files for the queue: publish and discard, with the owner's rights, off the event loop."""

import asyncio
from collections.abc import Sequence

from daemon.dispatch.outcome import lost, refused
from daemon.identity import Executors
from jobqueue.finish import NotPublishedError
from jobqueue.job import File, Owner
from transfer import publishing
from transfer.errors import LocalFileError


class OwnerFiles:
    """jobqueue.finish.LocalFiles over transfer.publishing."""

    def __init__(self, executors: Executors) -> None:
        self._executors = executors

    async def publish(self, owner: Owner, file: File) -> None:
        """Give the finished file its local name. Raises NotPublishedError."""

        def work() -> None:
            publishing.publish(
                file.temporary_name,
                file.local_name,
                file.offset,
                last_modified=file.last_modified,
                inode=file.inode,
                mtime=file.mtime,
            )

        try:
            await asyncio.get_running_loop().run_in_executor(self._executors.of(owner), work)
        except LocalFileError as error:
            raise NotPublishedError(refused(error), lost(file, error)) from error

    async def discard(self, owner: Owner, paths: Sequence[str]) -> Sequence[str]:
        """Remove temporary files for good; returns the paths that could not be removed."""
        pool = self._executors.of(owner)
        return await asyncio.get_running_loop().run_in_executor(pool, publishing.discard, paths)
