"""Starts services without the half second that Python needs to load them: it has everything loaded, and forks.

One at a time: a line of JSON comes in (`{"arguments": [...], "environment": {...}, "log": PATH}`), the service's pid
goes out, then its exit code, negative for a signal. The pid stays taken until the next one is asked for, so that nobody
else can be hit by a signal that was meant for it. When the input ends, so does the nursery.
"""

import json
import os
import sys
from typing import NoReturn

import daemon.app
import daemon.logs
import daemon.sockets  # noqa: F401 - what a service loads while it starts
from tests.kills import launcher


def main() -> None:
    gone = None
    for line in sys.stdin:
        if gone is not None:
            os.waitpid(gone, 0)
        gone = pid = os.fork()
        if not pid:
            _become(**json.loads(line))
        _say(pid)
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        _say(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)


def _become(arguments: list[str], environment: dict[str, str], log: str) -> NoReturn:
    """This process is the service from now on."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, place in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(place, number)
    os.closerange(3, 64)
    os.environ |= environment
    sys.argv = ["bitsd", *arguments]
    launcher.main()


def _say(number: int) -> None:
    print(number, flush=True)  # noqa: T201 - to the campaign


if __name__ == "__main__":
    main()
