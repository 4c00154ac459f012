"""Verbs that make and change jobs: create, add, set. Own the options; what is allowed is the service's to say."""

from typing import Annotated, Any

import typer

from daemon.client.client import Client
from daemon.client.detail import describe_files
from daemon.client.properties import header_block, parse_assignments
from daemon.client.reference import JobArgument, resolve
from daemon.client.session import DONE, Session, usage_error
from daemon.client.target import pair_files, with_digest, with_mirrors

FileWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="URL [LOCAL]", help="Files: an address, and its local name if not the address's own."),
]
Headers = Annotated[
    list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Send this header; may be repeated.")
]
MakeDirs = Annotated[bool, typer.Option("--make-dirs", help="Make missing directories.")]
Mirrors = Annotated[
    list[str] | None,
    typer.Option("--mirror", metavar="URL", help="Another address of the one file; may be repeated."),
]
Digest = Annotated[str | None, typer.Option("--sha256", metavar="HEX", help="SHA-256 that the one file must have.")]


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Display name of the job.")],
    files: FileWords = None,
    *,
    description: Annotated[str | None, typer.Option(help="Text for people.")] = None,
    priority: Annotated[str | None, typer.Option(help="FOREGROUND, HIGH, NORMAL or LOW.")] = None,
    headers: Headers = None,
    properties: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other property; may be repeated.")
    ] = None,
    sha256: Digest = None,
    mirrors: Mirrors = None,
    make_dirs: MakeDirs = False,
    resume: Annotated[bool, typer.Option("--resume", help="Start it at once.")] = False,
) -> None:
    """Create a job and print its id. It is suspended unless --resume."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        body: dict[str, Any] = parse_assignments(properties or ())
        body["display_name"] = name
        if description is not None:
            body["description"] = description
        if priority is not None:
            body["priority"] = priority.upper()
        if block := header_block(headers):
            body["custom_headers"] = block
        if files or sha256 or mirrors:
            body["files"] = _to_add(files, sha256, mirrors, make_dirs)
        if resume:
            body["resume"] = True
        job = await client.create_job(**body)
        if session.is_json:
            session.emit(job)
        else:
            print(job.id)
        return DONE

    session.run(work)


def add(
    context: typer.Context,
    job: JobArgument,
    files: FileWords = None,
    *,
    sha256: Digest = None,
    mirrors: Mirrors = None,
    make_dirs: MakeDirs = False,
) -> None:
    """Add files to a job. All of them or none."""
    session: Session = context.obj

    async def work(client: Client) -> int:
        to_add = _to_add(files, sha256, mirrors, make_dirs)
        if not to_add:
            raise usage_error("name at least one file: bitsctl add JOB URL [LOCAL]")
        added = await client.add_files(await resolve(client, job), to_add)
        if session.is_json:
            for file in added.files:
                session.emit(file)
        else:
            print(describe_files(added.files))
        return DONE

    session.run(work)


def set_properties(
    context: typer.Context,
    job: JobArgument,
    assignments: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE", help="JSON or text; KEY= sets back to the default; a.b=c nests."),
    ],
    if_match: Annotated[int | None, typer.Option(metavar="REVISION", help="Only if the job is at it.")] = None,
) -> None:
    """Change properties of a job.

    Works at any time: bitsctl set JOB priority=HIGH no_progress_timeout=0 notify.flags=JOB_ERROR
    """
    session: Session = context.obj

    async def work(client: Client) -> int:
        patch = parse_assignments(assignments)
        changed = await client.set(await resolve(client, job), if_match=if_match, **patch)
        if session.is_json:
            session.emit(changed)
        else:
            document = changed.model_dump(mode="json")
            print("\n".join(f"{key} = {document.get(key)!r}" for key in patch))
        return DONE

    session.run(work)


def _to_add(
    words: list[str] | None, sha256: str | None, mirrors: list[str] | None, make_dirs: bool
) -> list[dict[str, Any]]:
    files = with_mirrors(with_digest(pair_files(words or ()), sha256), mirrors)
    return [{**file, "make_dirs": True} for file in files] if make_dirs else files
