"""The self-check: whether what the store says, what is on the disk and who may touch it agree; mends what it can.

Owns the list of findings. Each is looked for with the rights of whoever owns the job it is about.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from daemon.access import user_name
from daemon.dispatch.outcome import lost
from daemon.dispatch.request import part_record
from daemon.identity import Executors
from jobqueue.checkup import files_at_rest, forget, jobs_after, recount, totals_of
from jobqueue.errors import FileNotInJobError
from jobqueue.job import File, Job, Owner
from jobqueue.leftovers import Leftovers
from jobqueue.lost import is_state_lost, take_note_of_loss
from jobqueue.queue import JobQueue
from jobqueue.store import Store
from jobqueue.transaction import Leftover, Transaction
from transfer.audit import disagreement
from transfer.errors import LocalFileError


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `mend`: what is done about it when asked; None = only a person can."""

    code: str
    message: str
    mend: str | None = None
    path: str | None = None
    job_id: str | None = None
    file_index: int | None = None
    is_mended: bool = False


@dataclass(slots=True)
class Doctor:
    """`places`: paths that belong to the service, with the mode that each must have (permission bits of st_mode).
    `is_starting`: no transfer runs yet, so every temporary file is at rest.
    """

    queue: JobQueue
    store: Store
    leftovers: Leftovers
    executors: Executors
    places: Mapping[str, int]
    is_starting: bool = True

    async def examine(self, owner_uid: int | None, *, fix: bool) -> list[Finding]:
        """What is found about the jobs of one user, or (None) about everything; `fix` mends it."""
        found = [finding async for finding in self._jobs(owner_uid, fix=fix)]
        found += await self._left(owner_uid, fix=fix)
        if owner_uid is None:
            found += await self._service(fix=fix)
        return found

    async def _jobs(self, owner_uid: int | None, *, fix: bool) -> AsyncIterator[Finding]:
        row = 0
        while batch := await self.queue.read(lambda tx, row=row: jobs_after(tx, row, owner_uid)):  # type: ignore[misc]
            for job, files in batch:
                if totals_of(files) != job.totals:
                    finding = Finding(
                        "TOTALS_WRONG",
                        f"the sums of job {job.id} are not those of its files",
                        "count anew",
                        job_id=job.id,
                    )
                    if fix:
                        await self.queue.change(lambda change, job=job: recount(change, job.id))  # type: ignore[misc]
                    yield replace(finding, is_mended=fix)
                for file in files_at_rest(job, files, is_starting=self.is_starting):
                    if (found := await self._file(job, file, fix=fix)) is not None:
                        yield found
            row = batch[-1][0].row

    async def _file(self, job: Job, file: File, *, fix: bool) -> Finding | None:
        failure = await self._disagreement(job, file)
        if failure is None or not await self.queue.read(lambda tx: _is_as_it_was(tx, job, file)):
            return None
        error = lost(file, failure)
        ends = "the job goes to ERROR, and resume fetches the file again" if file.transferred else "it starts from zero"
        finding = Finding(
            _code(failure, is_gone=error is not None),
            f"{failure}: {file.landed} bytes of it are on record",
            ends if error is not None else None,
            path=file.temporary_name,
            job_id=job.id,
            file_index=file.index,
        )
        is_mended = fix and error is not None
        if is_mended:
            is_mended = await self.queue.change(
                lambda change: forget(change, job.id, file, error, is_starting=self.is_starting)
            )
        return replace(finding, is_mended=is_mended)

    async def _disagreement(self, job: Job, file: File) -> LocalFileError | None:
        check = partial(disagreement, file.temporary_name, part_record(file), is_finished=file.transferred)
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executors.of(job.owner), check)
        except (OSError, RuntimeError) as error:  # no thread to be had, or none with this owner's rights
            return LocalFileError(f"cannot check {file.temporary_name}: {error}", errno.EAGAIN, file.temporary_name)

    async def _left(self, owner_uid: int | None, *, fix: bool) -> list[Finding]:
        """Temporary files of jobs that are over, or lost."""
        found = [
            leftover
            for leftover in await self.queue.read(lambda tx: tx.leftovers())
            if owner_uid is None or (leftover.owner is not None and leftover.owner.uid == owner_uid)
        ]
        named = [await asyncio.to_thread(_with_owner, leftover) for leftover in found]
        stay = await self.leftovers.remove(named) if fix else named
        return [
            Finding(
                "TEMPORARY_FILE_LEFT",
                f"{before.path} is left of job {before.job_id}, which is {'over' if before.owner else 'lost'}",
                "remove it",
                path=before.path,
                job_id=before.job_id,
                is_mended=leftover not in stay,
            )
            for before, leftover in zip(found, named, strict=True)
        ]

    async def _service(self, *, fix: bool) -> list[Finding]:
        found = await asyncio.to_thread(_permissions, self.places, fix=fix)
        flaw = await self.store.flaw()
        if flaw is not None:
            found.append(Finding("STORE_DAMAGED", f"the queue's database is damaged: {flaw}; start the service anew"))
        now, policy = self.queue.clock.now(), self.queue.policy
        if await self.queue.read(lambda tx: is_state_lost(tx, now, policy)):
            message = "part of the queue was lost; the event STATE_LOST says what"
            if fix:
                await self.queue.change(take_note_of_loss)
            found.append(Finding("STATE_LOST", message, "take note of it", is_mended=fix))
        return found


def _code(failure: LocalFileError, *, is_gone: bool) -> str:
    if not is_gone:
        return "TEMPORARY_FILE_UNREADABLE"
    return "TEMPORARY_FILE_MISSING" if failure.errno == errno.ENOENT else "TEMPORARY_FILE_CHANGED"


def _is_as_it_was(tx: Transaction, job: Job, file: File) -> bool:
    try:
        return tx.file(job.id, file.index) == file
    except FileNotInJobError:  # the job has left the history
        return False


def _with_owner(leftover: Leftover) -> Leftover:
    """Blocking. An orphan is removed with the rights of whoever the file belongs to."""
    if leftover.owner is not None:
        return leftover
    try:
        facts = os.lstat(leftover.path)
    except OSError:  # gone, or not to be seen: whoever removes it will find out
        return replace(leftover, owner=Owner(os.geteuid(), os.getegid(), user_name(os.geteuid())))
    return replace(leftover, owner=Owner(facts.st_uid, facts.st_gid, user_name(facts.st_uid)))


def _permissions(places: Mapping[str, int], *, fix: bool) -> list[Finding]:
    """Blocking."""
    found: list[Finding] = []
    for path, mode in places.items():
        try:
            facts = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(facts.st_mode) or facts.st_uid != os.geteuid():
            message = f"{path} belongs to {user_name(facts.st_uid)}; give it to {user_name(os.geteuid())}"
            found.append(Finding("WRONG_OWNER", message, path=path))
        elif stat.S_IMODE(facts.st_mode) != mode:
            message = f"{path} has mode {stat.S_IMODE(facts.st_mode):04o}, it must be {mode:04o}"
            if fix:
                os.chmod(path, mode)
            found.append(Finding("WRONG_MODE", message, f"set mode {mode:04o}", path=path, is_mended=fix))
    return found
