"""`bitsctl monitor`: a table of all jobs that is drawn again and again, with the speed of each.

On a terminal the table stays in place and fits the screen; in a pipe each refresh is one more table.
"""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from daemon.client.client import Client
from daemon.client.listing import COLUMNS, AllUsers, job_amount
from daemon.client.output import clean, format_duration, format_speed, short_ids, table
from daemon.client.patience import Patience
from daemon.client.session import DONE, Session
from daemon.client.speed import SpeedMeter

_ORDER = ("TRANSFERRING", "CONNECTING", "TRANSIENT_ERROR", "ERROR", "TRANSFERRED", "QUEUED", "SUSPENDED")
_HEADER = ("ID", "STATE", "PRIORITY", "PROGRESS", "SPEED", "ETA", "NAME")
_AROUND = 3


class Board:
    """Remembers the speed of every job it has been shown; forgets those that are gone."""

    def __init__(self) -> None:
        self._meters: dict[str, SpeedMeter] = {}

    def draw(self, jobs: Iterable[Mapping[str, Any]], now: float, *, lines: int | None = None) -> str:
        """The table of the jobs, busy ones first, cut to so many lines. `now` in seconds on any steady clock."""
        ordered = sorted(jobs, key=_rank)
        self._meters = {job["id"]: self._meters.get(job["id"]) or SpeedMeter() for job in ordered}
        for job in ordered:
            self._meters[job["id"]].add(now, job["progress"]["bytes_transferred"])
        shown = ordered if lines is None else ordered[: max(1, lines)]
        ids = short_ids([job["id"] for job in ordered])
        rows = [self._row(job_id, job) for job_id, job in zip(ids, shown, strict=False)]
        total = sum(self._meters[job["id"]].speed() or 0.0 for job in ordered)
        hidden = f", {len(ordered) - len(shown)} not shown" if len(shown) < len(ordered) else ""
        return f"{table(_HEADER, rows)}\n{_count(ordered)}{hidden}, {format_speed(total)}"

    def _row(self, job_id: str, job: Mapping[str, Any]) -> Sequence[str]:
        meter, is_moving = self._meters[job["id"]], job["state"] == "TRANSFERRING"
        left = meter.remaining(job["progress"]["bytes_total"]) if is_moving else None
        return (
            job_id,
            job["state"],
            job["priority"],
            job_amount(job),
            format_speed(meter.speed() if is_moving else None),
            "-" if left is None else format_duration(left),
            clean(job["display_name"]),
        )


def monitor(
    context: typer.Context,
    all_users: AllUsers = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time between refreshes.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One table and out.")] = False,
) -> None:
    """Watch all jobs live. Ctrl-C ends it; in a pipe one table per refresh, with --json the jobs of each refresh."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        if session.is_json or once or not sys.stdout.isatty():
            await _repeat(
                client,
                session.say,
                lambda jobs: _print(session, board, jobs),
                all_users=all_users,
                interval=interval,
                once=once,
            )
        else:
            await _redraw(client, board, all_users=all_users, interval=interval)
        return DONE

    board = Board()
    session.run(work)


async def _repeat(
    client: Client,
    say: Callable[[str], None],
    show: Callable[[list[dict[str, Any]]], None],
    *,
    all_users: bool,
    interval: float,
    once: bool,
) -> None:
    """Read all jobs and show them, until the caller is tired of it."""

    async def read() -> list[dict[str, Any]]:
        return [job async for job in client.all_jobs(fields=COLUMNS, all_users=all_users)]

    patience = Patience(say)
    while True:
        show(await (read() if once else patience.call(read)))
        if once:
            return
        await asyncio.sleep(interval)


def _print(session: Session, board: Board, jobs: list[dict[str, Any]]) -> None:
    if session.is_json:
        for job in jobs:
            session.emit(job)
    else:
        print(board.draw(jobs, asyncio.get_running_loop().time()) + "\n")
    sys.stdout.flush()


async def _redraw(client: Client, board: Board, *, all_users: bool, interval: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - rich costs start-up time and is for terminals only
    from rich.text import Text  # noqa: PLC0415

    with Live(auto_refresh=False, screen=True) as live:

        def show(jobs: list[dict[str, Any]]) -> None:
            lines = shutil.get_terminal_size().lines - _AROUND
            drawn = board.draw(jobs, asyncio.get_running_loop().time(), lines=lines)
            live.update(Text(drawn, no_wrap=True, overflow="ellipsis"), refresh=True)

        def say(text: str) -> None:
            live.update(Text(text), refresh=True)

        await _repeat(client, say, show, all_users=all_users, interval=interval, once=False)


def _rank(job: Mapping[str, Any]) -> int:
    state = job["state"]
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _count(jobs: Sequence[Mapping[str, Any]]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
