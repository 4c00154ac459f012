"""`python -m tests.origin`: the lying origin for any client, by hand.

    python -m tests.origin --port 8080 --file /a.bin size=1000000 drop_after=300000 'etag=W/"weak"'
    python -m tests.origin --list
    python -m tests.origin --tls --fault change-blind --fault short
    python -m tests.origin --all

Prints the address of each file, and what else its client must be told. A named fault is served at /NAME-0.
"""

import argparse
import ast
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.faults import FAULTS
from tests.faults.servers import Servers
from tests.origin_script import Script


def main() -> None:
    arguments = _arguments()
    if arguments.list:
        for name, fault in FAULTS.items():
            sys.stdout.write(f"{name:36} {fault.about}\n")
        return
    asyncio.run(_serve(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A loopback HTTP server that can lie")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--tls", action="store_true", help="https, by a certificate whose root is printed")
    parser.add_argument("--file", nargs="+", action="append", default=[], metavar="PATH OPTION=VALUE")
    parser.add_argument("--fault", action="append", default=[], choices=FAULTS, metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every fault")
    parser.add_argument("--list", action="store_true", help="the names of all faults")
    parser.add_argument("--chunking", type=int, metavar="SEED", help="write everything in random pieces")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    scheme = "https" if arguments.tls else "http"
    async with Servers(scheme=scheme, port=arguments.port, chunking=arguments.chunking) as servers:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.tls:
                sys.stdout.write(f"root certificate: {servers.certificates.write_bundle(Path(folder))}\n")
            sys.stdout.write(f"forward proxy: {servers.proxy.url}\n")
            for path, *options in arguments.file:
                pairs = (option.partition("=") for option in options)
                values: dict[str, Any] = {name: _value(value) for name, _, value in pairs}
                servers.scripts[path] = Script(**values)
                sys.stdout.write(servers.names["good"] + path + "\n")
            for name in FAULTS if arguments.all else arguments.fault:
                placed = servers.place(name, FAULTS[name])
                wants = {**placed.file, **placed.job}
                sys.stdout.write(f"{placed.url}  {wants or ''}  # {FAULTS[name].end}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


def _value(text: str) -> object:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value
