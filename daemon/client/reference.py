"""What a person types for JOB -> the id of one job: a full id, a unique prefix of one, or a unique display name.

Asks the service for ids and names only, own jobs first, then everybody's if the caller may see them.
"""

import asyncio
import re
from typing import Annotated, Any

import typer

from daemon.client.client import Client
from daemon.client.errors import AccessDenied, ClientError, InvalidArgument, NotFound
from daemon.client.output import clean
from daemon.client.session import Session

_FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.IGNORECASE)
_COMPLETION_TIME = 2.0
_SHOWN = 10
_UNQUOTABLE = frozenset(" \t\n\"'\\$`:")  # shells take a completion as it is


async def resolve(client: Client, text: str) -> str:
    """The id of the one job meant. Raises NotFound, or InvalidArgument with the candidates when there are several."""
    if _FULL_ID.fullmatch(text):
        return text.lower()
    found = await _matches(client, text, all_users=False) or await _foreign_matches(client, text)
    if not found:
        detail = f"no job has the id or name '{text}'"
        raise NotFound.of("BG_E_NOT_FOUND", "0x80200001", 404, "Not found", detail, job=text)
    if len(found) > 1:
        candidates = [f"{job_id} {name}" for job_id, name in found[:_SHOWN]]
        more = f", the first {_SHOWN} are" if len(found) > _SHOWN else ""
        detail = f"'{text}' may be any of {len(found)} jobs{more} listed below: use more of the id"
        raise InvalidArgument.of("E_INVALIDARG", "0x80070057", 400, "Ambiguous job", detail, candidates=candidates)
    return found[0][0]


async def _foreign_matches(client: Client, text: str) -> list[tuple[str, str]]:
    try:
        return await _matches(client, text, all_users=True)
    except AccessDenied:
        return []


async def _matches(client: Client, text: str, *, all_users: bool) -> list[tuple[str, str]]:
    """Ids and names of all jobs that `text` can mean."""
    prefix = text.lower() if _PREFIX.fullmatch(text) else None
    found = []
    async for job in client.all_jobs(fields=("id", "display_name"), all_users=all_users):
        is_meant = job["display_name"] == text or (prefix is not None and job["id"].startswith(prefix))
        if is_meant:
            found.append((job["id"], job["display_name"]))
    return found


def complete_job(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Shell completion: ids and plain names of the caller's jobs; silent when the service is away."""
    asked: Any = context.find_root().params.get("socket")
    try:
        found = asyncio.run(_completions(Session(asked, is_json=True), incomplete))
    except (ClientError, TimeoutError):
        return []
    return found


async def _completions(session: Session, incomplete: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(_COMPLETION_TIME), Client(session.socket_path) as client:
        async for job in client.all_jobs(fields=("id", "display_name", "state")):
            for word, note in ((job["id"], job["display_name"]), (job["display_name"], job["state"])):
                if word.startswith(incomplete) and not set(word) & _UNQUOTABLE:
                    found.append((word, clean(note)))
    return found


_HELP = "Full id, unique start of one (4 or more characters), or unique display name."
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help=_HELP, autocompletion=complete_job)]
JobArguments = Annotated[list[str], typer.Argument(metavar="JOB", help=_HELP, autocompletion=complete_job)]
