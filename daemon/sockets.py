"""The places a service claims for itself: its state directory and its socket, each by a lock of the process.

A socket that was handed over ready to use (daemon/systemd.py) needs no claim.
"""

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator

from daemon.access import is_system_service
from transfer import directory

LONGEST_PATH = 107
"""Bytes the kernel takes for the path of a Unix socket."""


class ClaimError(Exception):
    """Somebody else has it, or it cannot be made; the message says which and what to do."""


def claim(path: str, what: str) -> int:
    """Lock the file at `path` for the life of this process; returns its descriptor. Raises ClaimError."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ClaimError(f"cannot lock {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ClaimError(f"cannot start: another bitsd is using {what}; stop it first or choose another") from None
    return descriptor


def make_directory(path: str, mode: int) -> None:
    """Make the directory and its parents if they are missing; a power cut takes none of them. Raises ClaimError."""
    try:
        directory.make(path, mode)
    except OSError as error:
        raise ClaimError(f"cannot make the directory {path}: {error.strerror}") from error


@contextlib.contextmanager
def listening(path: str, handed: socket.socket | None) -> Iterator[socket.socket]:
    """The socket to serve on for as long as the block runs: the one `handed` over by whoever started the service, whose
    file is not ours; else one of `bind`, and its file is gone afterwards. Raises ClaimError.
    """
    if handed is not None:
        with handed:
            yield handed
        return
    listener = bind(path)
    try:
        yield listener
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def bind(path: str) -> socket.socket:
    """A bound Unix socket; a stale one is replaced. Mode 0666 for the system service (the kernel says who calls),
    0600 for a user's. Call with the lock of the socket held. Raises ClaimError.
    """
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            _refuse_if_answered(path)
            os.unlink(path)
        else:
            raise ClaimError(f"cannot listen on {path}: something that is not a socket is there; remove it")
    except FileNotFoundError:
        pass
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ClaimError(f"cannot listen on {path}: a socket's path has at most {LONGEST_PATH} bytes; choose another")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise ClaimError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(old_mask)
    if is_system_service():
        os.chmod(path, 0o666)  # noqa: S103 - every user may call; what they may do is judged by their credentials
    listener.settimeout(0)
    return listener


def _refuse_if_answered(path: str) -> None:
    """Raise ClaimError when a process listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(path)
        except OSError:
            return
    raise ClaimError(f"cannot start: another service answers on {path}; stop it first or choose another socket")
