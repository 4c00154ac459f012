"""Verbs that only look: list, show, files, status. Own the columns of the list; change nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from daemon.client.client import Client, JobFilter
from daemon.client.detail import amount, describe_files, describe_job, describe_service
from daemon.client.output import clean, short_ids, table
from daemon.client.reference import JobArgument, resolve
from daemon.client.session import DONE, Session

COLUMNS = ("id", "state", "priority", "progress", "display_name", "owner")
AllUsers = Annotated[bool, typer.Option("--all-users", "-a", help="Jobs of everybody (administrators only).")]
StateFilter = Annotated[str | None, typer.Option("--state", metavar="STATE,...", help="Only jobs in these states.")]


def list_jobs(
    context: typer.Context,
    all_users: AllUsers = False,
    state: StateFilter = None,
    name: Annotated[str | None, typer.Option("--name", metavar="GLOB", help="Only jobs named like it.")] = None,
) -> None:
    """List your jobs. Those that were completed or cancelled are gone from it."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        filters: JobFilter = {"all_users": all_users, "state": split_states(state), "name": name}
        if session.is_json:
            async for job in client.all_jobs(**filters):
                session.emit(job)
            return DONE
        filters["fields"] = COLUMNS
        jobs = [job async for job in client.all_jobs(**filters)]
        if jobs:
            print(describe_jobs(jobs, with_owner=all_users))
        else:
            session.say("no jobs")
        return DONE

    session.run(work)


def show(
    context: typer.Context,
    job: JobArgument,
    files: Annotated[bool, typer.Option("--files", help="With its files.")] = False,
) -> None:
    """Show one job in full."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        found = await client.job(await resolve(client, job), include_files=files)
        if session.is_json:
            session.emit(found)
            return DONE
        print(describe_job(found))
        if found.files is not None:
            print("\n" + describe_files(found.files))
        return DONE

    session.run(work)


def files(context: typer.Context, job: JobArgument) -> None:
    """List the files of a job."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        found = await client.files(await resolve(client, job))
        if session.is_json:
            for file in found.files:
                session.emit(file)
        elif found.files:
            print(describe_files(found.files))
        else:
            session.say("the job has no files yet: bitsctl add JOB URL")
        return DONE

    session.run(work)


def status(context: typer.Context, all_users: AllUsers = False) -> None:
    """Show the service and how many jobs it has."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        service = await client.service()
        if session.is_json:
            session.emit(service)
            return DONE
        states = Counter([job["state"] async for job in client.all_jobs(fields=("state",), all_users=all_users)])
        print(describe_service(service, client.socket_path, states))
        return DONE

    session.run(work)


def split_states(text: str | None) -> list[str] | None:
    """`a,b` as the names of states."""
    return [name.strip().upper() for name in text.split(",")] if text else None


def describe_jobs(jobs: Sequence[Mapping[str, Any]], *, with_owner: bool = False) -> str:
    """The table of `list`; ids as short as they are different."""
    ids = short_ids([job["id"] for job in jobs])
    owner = ("OWNER",) if with_owner else ()
    header = ("ID", "STATE", "PRIORITY", *owner, "PROGRESS", "NAME")
    rows = [
        (
            job_id,
            job["state"],
            job["priority"],
            *((clean(job["owner"]["user"]),) if with_owner else ()),
            job_amount(job),
            clean(job["display_name"]),
        )
        for job_id, job in zip(ids, jobs, strict=True)
    ]
    return table(header, rows)


def job_amount(job: Mapping[str, Any]) -> str:
    """How far a job is, from its document."""
    progress = job["progress"]
    if not progress["files_total"]:
        return "no files"
    return amount(progress["bytes_transferred"], progress["bytes_total"], is_whole=job["state"] == "TRANSFERRED")
