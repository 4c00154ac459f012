"""What one running transfer tells of its file, as reports to the queue."""

from contextlib import suppress

from jobqueue.errors import StoreFailedError, StoreFullError
from jobqueue.job import File
from jobqueue.landing import Landed
from jobqueue.reports import RemoteFacts, Reports
from transfer.request import Piece, RedirectPolicy, RemoteFile, TransferRequest

LITTLE = 1 << 20
"""Bytes of a file that is not worth a record of its beginning."""


class FileRecord:
    """transfer.Observer of one file: puts what it is told on record.

    The beginning of a small new file is told with its end, or when that does not come at once: before bytes go on
    record nothing is known that could be lost.
    """

    def __init__(self, reports: Reports, job_id: str, file: File, request: TransferRequest) -> None:
        self.untold: RemoteFacts | None = None
        self._is_new = file.inode is None
        self._reports = reports
        self._job_id = job_id
        self._index = file.index
        self._request = request

    async def started(self, remote: RemoteFile, offset: int) -> None:
        asked_name = self._request.urls[0]
        is_reported = self._request.terms.redirects is RedirectPolicy.REPORT and remote.source == asked_name
        version = remote.validators
        facts = RemoteFacts(
            size=remote.size,
            remote_size=version.size,
            etag=version.etag,
            last_modified=version.last_modified,
            is_date_weak=version.is_date_weak,
            media_type=version.media_type,
            served_digest=dict(version.digest),
            response_headers=remote.headers,
            inode=remote.inode,
            fetched_from=remote.url if is_reported else remote.source,
            asked_name=asked_name,
            remote_name=remote.url if is_reported else asked_name,
        )
        self.untold = None
        if self._is_new and not offset and remote.size is not None and remote.size <= LITTLE:
            self.untold = facts
            return
        self._is_new = False
        await self._reports.remote_known(self._job_id, self._index, facts, offset)

    async def lasts(self) -> None:
        self._is_new = False
        if (facts := self.untold) is not None:
            await self._reports.remote_known(self._job_id, self._index, facts, 0)
            if self.untold is facts:  # stopped before, it is told once more with the file's end
                self.untold = None

    async def synced(self, offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        await self.lasts()
        beyond = tuple((piece.start, piece.end, piece.checksum) for piece in pieces)
        with suppress(StoreFullError, StoreFailedError):  # bytes go on without; the next record tells of these too
            await self._reports.synced(self._job_id, self._index, Landed(offset, checksum, mtime, beyond))
