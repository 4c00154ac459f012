"""The verb `doctor`: what the self-check of the service found, and what was or would be done about it."""

from typing import Annotated

import typer

from daemon.client.client import Client
from daemon.client.output import clean
from daemon.client.session import DONE, FAILED, Session
from daemon.schema import Finding


def doctor(
    context: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
) -> None:
    """Check that the queue, the files on the disk and their permissions agree.

    The exit code is 1 as long as something is wrong.
    """
    session: Session = context.obj

    async def work(client: Client) -> int:
        found = (await client.examine(fix=fix)).findings
        for finding in found:
            if session.is_json:
                session.emit(finding)
            else:
                print(describe_finding(finding))
        if not found:
            session.say("all is well")
        elif not fix and any(finding.mend for finding in found):
            session.say("`bitsctl doctor --fix` does what is said after ->")
        return DONE if all(finding.is_mended for finding in found) else FAILED

    session.run(work)


def describe_finding(finding: Finding) -> str:
    """What is wrong, about which job, and what becomes of it."""
    about = f" (job {finding.job_id}{'' if finding.file_index is None else f', file {finding.file_index}'})"
    mend = "" if finding.mend is None else f"{' mended:' if finding.is_mended else ' ->'} {finding.mend}"
    return clean(f"{finding.code}: {finding.message}{about if finding.job_id else ''}{mend}")
