"""Verbs that change the state or the owner of jobs: resume, suspend, complete, cancel, take-ownership, reset.

With several JOBs each is tried; what failed is said for each, and the first failure is the exit code.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

import typer

from daemon.client.client import Client
from daemon.client.errors import ClientError, InvalidState, NotFound, ServiceUnavailable
from daemon.client.output import clean
from daemon.client.reference import JobArguments, resolve
from daemon.client.session import DONE, FAILED, Session, exit_code, usage_error
from daemon.schema import Job, JobResult

Change = Callable[[str], Awaitable[Job]]
AT_ONCE = 16

_RESULTS = {
    "BG_S_PARTIAL_COMPLETE": "what was finished has been kept, the rest is gone",
    "BG_S_UNABLE_TO_DELETE_FILES": "some temporary files could not be removed",
}


def resume(context: typer.Context, jobs: JobArguments) -> None:
    """Start jobs, or start them again. A transient error is retried at once."""
    _run(context, jobs, lambda client: client.resume)


def suspend(context: typer.Context, jobs: JobArguments) -> None:
    """Stop jobs for now. What they have fetched is kept."""
    _run(context, jobs, lambda client: client.suspend)


def complete(context: typer.Context, jobs: JobArguments) -> None:
    """Put finished files in place and end jobs. What is not all there is dropped."""
    _run(context, jobs, lambda client: client.complete)


def cancel(context: typer.Context, jobs: JobArguments) -> None:
    """End jobs and remove what they have fetched."""
    _run(context, jobs, lambda client: client.cancel)


def take_ownership(context: typer.Context, jobs: JobArguments) -> None:
    """Become the owner of jobs. For administrators; credentials, headers and command are dropped."""
    _run(context, jobs, lambda client: client.take_ownership)


def reset(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Cancel all of your jobs."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        ids = [job["id"] async for job in client.all_jobs(fields=("id",))]
        if ids and not yes and not _confirm(session, len(ids)):
            session.say("nothing was cancelled")
            return FAILED
        cancelled = await _cancel_all(client, ids)
        for job in cancelled:
            if session.is_json:
                session.emit(job)
        session.say(f"cancelled {len(cancelled)} of {len(ids)} jobs")
        return DONE

    session.run(work)


def _confirm(session: Session, number: int) -> bool:
    if session.is_json or not sys.stdin.isatty():
        raise usage_error(f"this would cancel {number} jobs: say --yes if you mean it")
    return typer.confirm(f"Cancel all {number} jobs and remove what they have fetched?")


async def _cancel_all(client: Client, ids: Iterable[str]) -> list[JobResult]:
    """Cancel several at once; a job that has ended by itself in the meantime is no failure."""
    gate, cancelled = asyncio.Semaphore(AT_ONCE), list[JobResult]()

    async def cancel_one(job_id: str) -> None:
        async with gate:
            try:
                cancelled.append(await client.cancel(job_id))
            except (InvalidState, NotFound):
                return

    try:
        async with asyncio.TaskGroup() as group:
            for job_id in ids:
                group.create_task(cancel_one(job_id))
    except* ClientError as errors:
        raise errors.exceptions[0] from None
    return cancelled


def _run(context: typer.Context, jobs: list[str], verb: Callable[[Client], Change]) -> None:
    session: Session = context.obj

    async def work(client: Client) -> int:
        code = DONE
        for text in jobs:
            try:
                changed = await verb(client)(await resolve(client, text))
            except ServiceUnavailable:
                raise
            except ClientError as error:
                session.report(error)
                code = code or exit_code(error)
            else:
                tell(session, changed)
        return code

    session.run(work)


def tell(session: Session, job: Job) -> None:
    """What became of the job."""
    if session.is_json:
        session.emit(job)
        return
    note = _RESULTS.get(job.result) if isinstance(job, JobResult) else None
    print(f"{job.id}  {job.state}  {clean(job.display_name)}" + (f"  ({note})" if note else ""))
