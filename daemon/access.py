"""Who is calling, and what they may do. Callers are what the kernel says of the socket's peer, never a header."""

import functools
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from jobqueue.errors import RefusedError
from jobqueue.job import Job, Owner

_UCRED = struct.Struct("3i")


class Access(Enum):
    """The access column of the route table: who may call a route (for a job: whose job it must be)."""

    ANY = auto()
    OWNER = auto()
    OWNER_OR_ADMIN = auto()
    ADMIN = auto()


@dataclass(frozen=True, slots=True)
class Caller:
    """The peer of a connection."""

    uid: int
    gid: int
    pid: int

    @property
    def is_admin(self) -> bool:
        """Root is the administrator."""
        return self.uid == 0

    @property
    def owner(self) -> Owner:
        """The owner of what this caller creates."""
        return Owner(self.uid, self.gid, user_name(self.uid))


def caller_of(connection: socket.socket) -> Caller:
    """The credentials the kernel noted when the peer connected (SO_PEERCRED)."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Caller(uid, gid, pid)


@functools.lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The account's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def uid_of(user: str) -> int | None:
    """The uid a name or a number stands for."""
    if user.isdecimal():
        return int(user) if len(user) <= 10 else None
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):  # ValueError: no name can be spelt so
        return None


def is_system_service() -> bool:
    """This process serves every user of the machine."""
    return os.geteuid() == 0


def guard(caller: Caller, access: Access) -> Callable[[Job], None]:
    """A check to run on the job itself. Raises RefusedError E_ACCESSDENIED (a foreign job is 403, not 404)."""

    def check(job: Job) -> None:
        is_owner = job.owner.uid == caller.uid
        allowed = {
            Access.ANY: True,
            Access.OWNER: is_owner,
            Access.OWNER_OR_ADMIN: is_owner or caller.is_admin,
            Access.ADMIN: caller.is_admin,
        }[access]
        if not allowed:
            raise RefusedError("E_ACCESSDENIED", f"job {job.id} belongs to another user")

    return check
