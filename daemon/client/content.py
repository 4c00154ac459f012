"""The verb that reads a file of a job while it is being fetched: cat. Owns what is written to stdout: bytes alone."""

import sys
from typing import Annotated

import typer

from daemon.client.client import Client
from daemon.client.reference import JobArgument, resolve
from daemon.client.session import DONE, Session

Index = Annotated[int, typer.Argument(metavar="[INDEX]", min=0, help="Which file, from 0.", show_default=True)]
Start = Annotated[int, typer.Option("--from", metavar="BYTE", min=0, help="Leave out what comes before.")]


def cat(context: typer.Context, job: JobArgument, index: Index = 0, start: Start = 0) -> None:
    """Write a file of a job to stdout, complete or not, and wait for what is still to come. Exit 1 if it breaks off."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        async for piece in client.content(await resolve(client, job), index, start):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        return DONE

    session.run(work)
