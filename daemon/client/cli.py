"""`bitsctl`, the command line of the service: global options and the table of verbs.

Owns nothing else: each verb lives with its kind (get, listing, content, editing, credentials, control, watching,
monitor), output forms and exit codes in `session`.
"""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from daemon.client import content, control, credentials, doctor, editing, get, listing, monitor, watching
from daemon.client.session import Session

VERBS: dict[str, Any] = {
    "get": get.get,
    "create": editing.create,
    "add": editing.add,
    "set": editing.set_properties,
    "list": listing.list_jobs,
    "show": listing.show,
    "files": listing.files,
    "cat": content.cat,
    "resume": control.resume,
    "suspend": control.suspend,
    "complete": control.complete,
    "cancel": control.cancel,
    "wait": watching.wait,
    "monitor": monitor.monitor,
    "events": watching.events,
    "take-ownership": control.take_ownership,
    "reset": control.reset,
    "doctor": doctor.doctor,
    "status": listing.status,
}
GROUPS: dict[str, typer.Typer] = {"credentials": credentials.credentials, "certificate": credentials.certificate}
EXITS = (
    "Exit codes: 0 done, 1 the transfer failed, 2 usage, 3 no such job, 4 access denied, 5 wrong state, "
    "6 service not reachable, 7 timed out."
)


class Group(TyperGroup):
    """Takes --json after the verb as well as before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps this type to itself
        end = args.index("--") if "--" in args else len(args)
        if "--json" in args[:end]:
            args = ["--json", *(word for word in args[:end] if word != "--json"), *args[end:]]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="bitsctl",
    cls=Group,
    help="Download in the background: jobs of the bitsd service.",
    epilog=EXITS,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"bitsctl {version('bitsd')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    socket: Annotated[
        str | None,
        typer.Option(
            "--socket", metavar="PATH", help="Socket of the service [default: $BITSD_SOCKET, yours, the system's]."
        ),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the documents of the API, one a line.")] = False,
    shows_version: Annotated[  # noqa: ARG001 - its callback does it all
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hand the global options to the verb."""
    context.obj = Session(socket, is_json)


for _name, _verb in VERBS.items():
    app.command(_name)(_verb)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Entry point of `bitsctl`."""
    app(prog_name="bitsctl")
