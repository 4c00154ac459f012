"""`bitsctl get`: the one verb that is a whole download, in the manner of Start-BitsTransfer.

Owns its options, the signals that interrupt it, and what it prints; the course of the job is `fetch`.
"""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from daemon.client.client import Client
from daemon.client.credentials import PasswordFile, PasswordStdin, ask_password
from daemon.client.editing import Mirrors
from daemon.client.errors import TimedOut
from daemon.client.fetch import Ending, Fetch, Login, Result, create
from daemon.client.output import clean
from daemon.client.progress import view_for
from daemon.client.properties import header_block
from daemon.client.session import DONE, FAILED, INTERRUPTED, TIMED_OUT, Session
from daemon.client.target import name_files, with_digest, with_mirrors
from daemon.schema import MAX_NAME, Job


def get(
    context: typer.Context,
    urls: Annotated[list[str], typer.Argument(metavar="URL", help="What to download: http or https.")],
    *,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Name for the one file.")] = None,
    directory: Annotated[str | None, typer.Option("-d", "--directory", metavar="DIR", help="Where to put it.")] = None,
    name: Annotated[str | None, typer.Option(help="Display name of the job; default: the name of the file.")] = None,
    priority: Annotated[str | None, typer.Option(help="FOREGROUND (default), HIGH, NORMAL or LOW.")] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="SHA-256 that the one file must have.")] = None,
    mirrors: Mirrors = None,
    headers: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Send this header; may be repeated.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="User name, for servers that ask for one.")] = None,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up then: exit 7.")] = None,
    make_dirs: Annotated[bool, typer.Option("--make-dirs", help="Make missing directories.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="If it ends early, leave the job in the queue.")] = False,
    background: Annotated[bool, typer.Option("--background", help="Start the job, print its id and return.")] = False,
) -> None:
    """Download files and wait for them.

    Nothing appears under a name before it is all there. On failure, timeout or Ctrl-C the job is cancelled,
    unless --keep.
    """
    session: Session = context.obj
    login = None
    if user is not None or password_file is not None or password_stdin:
        password = ask_password(session, user or "", password_file, from_stdin=password_stdin)
        login = Login(user or "", password)

    async def work(client: Client) -> int:
        files = with_mirrors(with_digest(name_files(urls, output, directory), sha256), mirrors)
        if make_dirs:
            files = [{**file, "make_dirs": True} for file in files]
        body: dict[str, Any] = {
            "display_name": name or _name_job(files),
            "priority": priority.upper() if priority else "NORMAL" if background else "FOREGROUND",
            "files": files,
            "resume": True,
        }
        if block := header_block(headers):
            body["custom_headers"] = block
        if background:
            return _announce(session, await create(client, body, login))
        return await _wait_for(session, client, body, login=login, timeout=timeout, keep=keep)

    session.run(work)


async def _wait_for(
    session: Session,
    client: Client,
    body: dict[str, Any],
    *,
    login: Login | None,
    timeout: float | None,  # noqa: ASYNC109 - an option
    keep: bool,
) -> int:
    view = view_for(session.is_json, time.monotonic)
    try:
        with _signals() as stop:
            result = await Fetch(client, view, stop, timeout=timeout, keep=keep).run(body, login)
    finally:
        view.close()
    if session.is_json:
        session.emit(result.job)
    return _conclude(session, result, [file["local_name"] for file in body["files"]], timeout)


def _conclude(session: Session, result: Result, names: list[str], timeout: float | None) -> int:
    """Say how it ended and what is left: the exit code."""
    job = result.job
    if result.ending is Ending.ACKNOWLEDGED:
        if not session.is_json:
            print("\n".join(map(clean, names)))
        return DONE
    left = f"the job is still in the queue: bitsctl show {job.id}" if result.is_left_over else "the job is cancelled"
    if result.ending is Ending.FAILED:
        error = job.error
        reason = clean(error.message) if error else "the service gave no reason"
        code = f" [{error.code} {error.hresult}]" if error else ""
        where = f"\n  from {clean(error.remote_name)}" if error and error.remote_name else ""
        session.say(f"bitsctl: the transfer failed: {reason}{code}{where}\n  {left}")
        return FAILED
    if result.ending is Ending.TIMED_OUT:
        session.report(TimedOut.after(timeout or 0, f"not finished after {timeout:g} s; {left}"))
        return TIMED_OUT
    if result.ending is Ending.INTERRUPTED:
        session.say(f"bitsctl: interrupted; {left}")
        return INTERRUPTED
    session.say("bitsctl: somebody else cancelled the job; nothing was saved")
    return FAILED


def _announce(session: Session, job: Job) -> int:
    if session.is_json:
        session.emit(job)
    else:
        print(job.id)
        session.say(f"  downloading in the background; then: bitsctl wait {job.id} && bitsctl complete {job.id}")
    return DONE


def _name_job(files: list[dict[str, Any]]) -> str:
    first = str(files[0]["local_name"]).rpartition("/")[2]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{first[: MAX_NAME - len(more)]}{more}"


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT, SIGTERM or SIGHUP sets; the second one ends the waiting for an orderly end."""
    loop, stop, task = asyncio.get_running_loop(), asyncio.Event(), asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task:
            task.cancel()
        stop.set()

    caught = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        caught.append(signal.SIGHUP)
    for number in caught:
        loop.add_signal_handler(number, interrupt)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
