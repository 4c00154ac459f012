"""Verbs that put secrets with a job and take them away again: credentials, certificate. Own how a secret is read.

A password comes from a prompt without echo, from a file or from stdin; never from the command line, which `ps` shows.
"""

import getpass
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from daemon.client.client import SCHEMES, Client
from daemon.client.control import tell
from daemon.client.errors import ClientError, NotFound
from daemon.client.reference import JobArgument, resolve
from daemon.client.session import DONE, Session, exit_code, usage_error

T = TypeVar("T")
Target = Annotated[str, typer.Option(metavar="server|proxy", help="Who may ask for them.")]
Scheme = Annotated[str | None, typer.Option(metavar="basic|digest", help="Only if asked for so; default: both.")]
User = Annotated[str, typer.Option("--user", metavar="NAME", help="User name.")]
PasswordFile = Annotated[
    str | None, typer.Option("--password-file", metavar="FILE", help="Read the password from it; default: ask.")
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]

credentials = typer.Typer(no_args_is_help=True, help="Put a user and password with a job. They are never shown again.")
certificate = typer.Typer(no_args_is_help=True, help="Put a client certificate with a job. Its key is never shown.")


@credentials.command("set")
def set_credentials(
    context: typer.Context,
    job: JobArgument,
    *,
    user: User,
    target: Target = "server",
    scheme: Scheme = None,
    password_file: PasswordFile = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Set them, in place of what was there. They are sent only to a server that asks for them.

    After an error 401 or 407: set them, then bitsctl resume JOB.
    """
    session: Session = context.obj
    password = ask_password(session, user, password_file, from_stdin=password_stdin)

    async def put(client: Client, job_id: str) -> None:
        for one in _schemes(scheme):
            await client.set_credentials(job_id, target, one, user, password)

    _change(session, job, put)


@credentials.command("clear")
def clear_credentials(
    context: typer.Context, job: JobArgument, target: Target = "server", scheme: Scheme = None
) -> None:
    """Remove them. That there are none is exit 3."""
    schemes = _schemes(scheme)

    async def remove(client: Client, job_id: str) -> None:
        missing = []
        for one in schemes:
            try:
                await client.remove_credentials(job_id, target, one)
            except NotFound as error:
                missing.append(error)
        if len(missing) == len(schemes):
            raise missing[0]

    _change(context.obj, job, remove)


@certificate.command("set")
def set_certificate(
    context: typer.Context,
    job: JobArgument,
    chain: Annotated[str, typer.Option("--certificate", metavar="FILE", help="PEM: the certificate, then its chain.")],
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="PEM: its private key, not encrypted.")],
) -> None:
    """Set it, in place of what was there. The service keeps copies; the files may go."""
    session: Session = context.obj
    texts = _reported(session, lambda: (_text_of(chain), _text_of(key)))
    _change(session, job, lambda client, job_id: client.set_client_certificate(job_id, *texts))


@certificate.command("clear")
def clear_certificate(context: typer.Context, job: JobArgument) -> None:
    """Remove it."""
    _change(context.obj, job, lambda client, job_id: client.remove_client_certificate(job_id))


def ask_password(session: Session, user: str, file: str | None, *, from_stdin: bool = False) -> str:
    """The password, without the end of its line; leaves with the exit code of a wrong usage when there is none.

    Not for use in an event loop: whoever is asked may take his time, or press Ctrl-C.
    """

    def read() -> str:
        if not user:
            raise usage_error("a password belongs to a user: give --user NAME")
        if file is not None and from_stdin:
            raise usage_error("give one of --password-file and --password-stdin")
        if file is not None:
            return _text_of(file)
        if from_stdin:
            return sys.stdin.read()
        if not has_terminal():
            raise usage_error("there is nobody to ask for the password: give --password-file or --password-stdin")
        return getpass.getpass(f"Password of {user}: ")

    return _reported(session, read).removesuffix("\n").removesuffix("\r")


def has_terminal() -> bool:
    """Somebody sits there who can be asked."""
    return sys.stdin.isatty()


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise usage_error(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise usage_error(f"cannot read {path}: it is not text") from None


def _reported(session: Session, read: Callable[[], T]) -> T:
    try:
        return read()
    except ClientError as error:
        session.report(error)
        raise typer.Exit(exit_code(error)) from None


def _schemes(asked: str | None) -> tuple[str, ...]:
    return SCHEMES if asked is None else (asked,)


def _change(session: Session, job: str, call: Callable[[Client, str], Awaitable[None]]) -> None:
    async def work(client: Client) -> int:
        job_id = await resolve(client, job)
        await call(client, job_id)
        tell(session, await client.job(job_id))
        return DONE

    session.run(work)
