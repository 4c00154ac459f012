"""Verbs that wait for what happens: wait, events. Own deadlines and following; survive a restart of the service."""

import asyncio
from functools import partial
from typing import Annotated

import typer

from daemon.client.client import Client
from daemon.client.errors import TimedOut
from daemon.client.listing import AllUsers, split_states
from daemon.client.output import clean, format_time
from daemon.client.patience import Patience
from daemon.client.reference import JobArgument, resolve
from daemon.client.session import DONE, FAILED, Session
from daemon.schema import FINAL_STATES, Event, Job, State

UNTIL = ("TRANSFERRED", "ERROR", "ACKNOWLEDGED", "CANCELLED")
HOLD = 30.0
_BAD = frozenset({State.ERROR, State.CANCELLED})


def wait(
    context: typer.Context,
    job: JobArgument,
    until: Annotated[str, typer.Option(metavar="STATE,...", help="States to wait for.")] = ",".join(UNTIL),
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up then: exit 7.")] = None,
) -> None:
    """Wait for a job to end. Exit 0 when it reached the state, 1 when that is ERROR or CANCELLED, 7 at the timeout."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        states = split_states(until) or list(UNTIL)
        found, is_reached = await _wait(client, session, await resolve(client, job), states, timeout)
        if session.is_json:
            session.emit(found)
        elif is_reached:
            print(f"{found.id}  {found.state}  {clean(found.display_name)}")
        if not is_reached:
            raise TimedOut.after(timeout or 0, f"'{found.display_name}' is {found.state} after {timeout:g} s")
        return FAILED if found.state in _BAD else DONE

    session.run(work)


async def _wait(
    client: Client, session: Session, job_id: str, states: list[str], limit: float | None
) -> tuple[Job, bool]:
    """The job in one of the states, in a final one, or as it is after `limit` seconds; and whether it got there."""
    patience, clock = Patience(session.say), asyncio.get_running_loop().time
    deadline = None if limit is None else clock() + limit
    ends = {*states, *FINAL_STATES}
    while True:
        hold = HOLD if deadline is None else max(0.0, min(HOLD, deadline - clock()))
        job = await patience.call(partial(client.wait, job_id, sorted(ends), hold))
        if job.state in ends:
            return job, True
        if deadline is not None and clock() >= deadline:
            return job, False


def events(
    context: typer.Context,
    *,
    after: Annotated[int | None, typer.Option(min=0, metavar="SEQ", help="Only events after this one.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Only events of this job.")] = None,
    types: Annotated[str | None, typer.Option(metavar="TYPE,...", help="Only events of these types.")] = None,
    all_users: AllUsers = False,
) -> None:
    """Print what has happened to your jobs, oldest first."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        job_id = await resolve(client, job) if job else None
        names = split_states(types)
        patience, seq = Patience(session.say), after
        hold = 0.0
        while True:
            page = await patience.call(
                partial(client.events, after=seq, job=job_id, types=names, wait=hold, all_users=all_users)
            )
            for event in page.events:
                _print_event(session, event)
            if not page.events:
                if not follow:
                    return DONE
                hold = HOLD
            seq = page.seq

    session.run(work)


def _print_event(session: Session, event: Event) -> None:
    if session.is_json:
        session.emit(event)
        return
    more = dict(event.model_extra or {})
    words = [f"{more.pop('from')} -> {more.pop('to')}"] if {"from", "to"} <= more.keys() else []
    words += [f"{name}={value}" for name, value in more.items() if value is not None]
    job = (event.job_id or "-")[:8]
    line = f"{event.seq:>6}  {format_time(event.time)}  {job:8}  {event.type:16}  {clean(' '.join(words))}"
    print(line.rstrip())
