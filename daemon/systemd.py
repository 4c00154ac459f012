"""What systemd and the service say to each other: sd_notify(3), the watchdog, socket activation, a timer to come back.

Owns the variables systemd sets; they are taken out of the environment, for they are not meant for children. Without
them the service was started by somebody else, and all of this is silent.
"""

import asyncio
import logging
import math
import os
import socket
import subprocess
import time
from collections.abc import MutableMapping

from daemon.access import is_system_service
from daemon.sockets import ClaimError

log = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3
"""Where handed-over descriptors begin (SD_LISTEN_FDS_START)."""
UNIT, WAKE = "bitsd.service", "bitsd-wake"
COMMAND_TIME = 20.0
"""Seconds for systemctl and systemd-run to answer."""


class TimerFailedError(Exception):
    """The timer that starts the service again could not be set; the message says why."""


class Supervisor:
    """Who started the service and wants to know how it is. `is_there` False = nobody does."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(os.getpid()))
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = int(watchdog) / 1e6 / 2 if watchdog.isdecimal() and pid == str(os.getpid()) else 0.0

    @property
    def is_there(self) -> bool:
        """Somebody listens."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """One message of `NAME=value` lines. Nobody is waited for: what cannot be delivered now is lost."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("cannot tell systemd %s: %s", lines[0], error.strerror)

    def tell_status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self.tell(f"STATUS={text}")

    def tell_reloading(self) -> None:
        """Announce a reload (Type=notify-reload wants its moment); READY=1 ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def tell_alive(self) -> None:
        """Feed the watchdog from the event loop, at half its time, until cancelled; a loop that hangs does not."""
        while self._interval:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)


def handed_over(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd opened for this process, if it did. Raises ClaimError on any other sort."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "0")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count == "0":
        return None
    if count != "1":
        raise ClaimError(f"cannot start: systemd handed over {count} sockets; the .socket unit must have one")
    try:
        handed = socket.socket(fileno=FIRST_DESCRIPTOR)
        is_listening = handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ClaimError(f"cannot start: what systemd handed over is not a socket: {error.strerror}") from error
    if handed.family != socket.AF_UNIX or handed.type != socket.SOCK_STREAM or not is_listening:
        handed.close()
        raise ClaimError(
            "cannot start: systemd handed over a socket that is not a listening Unix stream socket;"
            " write ListenStream= with a path into the .socket unit"
        )
    handed.set_inheritable(False)
    handed.settimeout(0)
    return handed


async def arm_timer(seconds: float) -> None:
    """Have systemd start the service in so many seconds; an older timer is replaced. Raises TimerFailedError."""
    manager = [] if is_system_service() else ["--user"]
    await _run("systemctl", *manager, "--quiet", "stop", f"{WAKE}.timer", may_fail=True)  # there is none as a rule
    await _run(
        "systemd-run",
        *manager,
        "--quiet",
        "--collect",
        f"--unit={WAKE}",
        f"--on-active={max(1, math.ceil(seconds))}",
        "--timer-property=AccuracySec=1s",
        *("systemctl", *manager, "start", "--no-block", UNIT),
    )


async def _run(*command: str, may_fail: bool = False) -> None:
    try:
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMMAND_TIME,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:  # RuntimeError: no thread to be had
        if not may_fail:
            raise TimerFailedError(f"{command[0]}: {error}") from error
    else:
        if done.returncode != 0 and not may_fail:
            said = done.stderr.decode(errors="replace").strip()
            raise TimerFailedError(f"{command[0]} ended with {done.returncode}: {said}")
