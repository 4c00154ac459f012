"""Which socket the service is on: asked for, in the environment, the user's, the system's; in that order."""

import os

SYSTEM_SOCKET = "/run/bitsd/bitsd.sock"


def find_socket(asked: str | None = None) -> str:
    """Path of the socket to use. A path that was asked for is taken as it is, there or not."""
    if asked:
        return asked
    if named := os.environ.get("BITSD_SOCKET"):
        return named
    user = user_socket()
    return user if os.path.exists(user) else SYSTEM_SOCKET


def user_socket() -> str:
    """Where a service of this user would listen."""
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return f"{run}/bitsd/bitsd.sock"


def how_to_start(path: str) -> str:
    """One line for a person who finds nobody on `path`."""
    if path == SYSTEM_SOCKET:
        return "start it with `sudo bitsd`, or for yourself with `bitsd`"
    if path == user_socket():
        return "start it with `bitsd`"
    return f"start it with `bitsd --socket {path}`, or name another socket with --socket or $BITSD_SOCKET"
