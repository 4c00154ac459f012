"""The command line of the service: arguments, configuration, run, exit code."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module

from daemon import __version__
from daemon.config import Config, ConfigError, default_path, default_socket, default_state_dir, load


def run() -> None:
    """Serve, then end the process: 0 after a clean stop, 1 when it cannot run, 2 on a bad configuration."""
    arguments = _parser().parse_args()
    path = arguments.config or default_path()

    def read() -> Config:
        return load(path, os.environ)

    try:
        config = read()
    except ConfigError as error:
        print(f"bitsd: {error}", file=sys.stderr)  # noqa: T201 - the log is not configured yet
        sys.exit(2)
    try:
        code = _serve(config, arguments, read)
    except Exception:
        logging.getLogger(__name__).exception("the service ends because of an error in itself")
        code = 1
    sys.stderr.flush()
    os._exit(code)  # threads that hang in the kernel on a dead disk must not hold the exit


def _serve(config: Config, arguments: argparse.Namespace, read: Callable[[], Config]) -> int:
    # imported late: --help and a mistake in the configuration answer at once
    from daemon import logs, sockets  # noqa: PLC0415
    from daemon.app import Options, serve  # noqa: PLC0415
    from jobqueue.errors import JobQueueError  # noqa: PLC0415

    logs.configure(config.daemon)
    options = Options(
        socket=os.path.abspath(arguments.socket or config.daemon.socket or default_socket()),
        state_dir=os.path.abspath(arguments.state_dir or config.daemon.state_dir or default_state_dir()),
        is_ephemeral=arguments.ephemeral,
        reload=read,
    )
    code = 0
    try:
        # never closed: that would take one more thread, and the process ends at once
        asyncio.Runner(loop_factory=_loop_factory()).run(serve(config, options))
    except* (ConfigError, sockets.ClaimError, JobQueueError) as errors:
        for error in _leaves(errors):
            print(f"bitsd: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        code = 1 if errors.subgroup(ConfigError) is None else 2
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where it is installed (the extra `uvloop`; docs/decisions/0012), None = asyncio's own."""
    try:
        found: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return found


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    """The errors themselves, out of whatever groups they came in."""
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bitsd", description="Background download service.")
    parser.add_argument("--config", metavar="FILE", help="config.toml to use")
    parser.add_argument("--socket", metavar="PATH", help="Unix socket to serve on")
    parser.add_argument("--state-dir", metavar="DIR", help="where the queue is kept")
    parser.add_argument("--ephemeral", action="store_true", help="keep the queue in memory only")
    parser.add_argument("--version", action="version", version=f"bitsd {__version__}")
    return parser
