"""On whose behalf files are touched: one pool of threads per owner, each thread with that owner's file identity.

A system service (root) makes a thread take on the owner's fsuid, fsgid and groups once, by per-thread system calls, and
checks that it worked; the kernel's permissions decide from then on. A user service touches files as itself.
"""

import ctypes
import errno
import functools
import os
import platform
import pwd
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from jobqueue.job import Owner
from transfer.crew import Crew

T = TypeVar("T")
THREADS_PER_OWNER = 8
_CALLS = {
    "x86_64": {"setgroups": 116, "setfsuid": 122, "setfsgid": 123},
    "aarch64": {"setgroups": 159, "setfsuid": 151, "setfsgid": 152},
}


class Executors:
    """Hands out the pool on which every local file operation of an owner's jobs runs."""

    def __init__(self) -> None:
        self._pools: dict[int, Crew] = {}

    def of(self, owner: Owner) -> Crew:
        """The owner's pool; its threads start when they are needed."""
        pool = self._pools.get(owner.uid)
        if pool is None:
            is_self = owner.uid == os.geteuid() or os.geteuid() != 0
            prepare = (lambda: None) if is_self else functools.partial(_assume, owner)
            pool = _Pool(THREADS_PER_OWNER, f"files-{owner.uid}", prepare)
            self._pools[owner.uid] = pool
        return pool

    def close(self) -> None:
        """Let the threads end when they have done what they were given."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


class _Pool(Crew):
    """Without a new thread to be had, those that are there do the work; with none, OSError EAGAIN."""

    def submit(self, work: Callable[..., T], /, *args: object, **kwargs: object) -> "Future[T]":
        if not self._threads:
            self._start_one()
        return super().submit(work, *args, **kwargs)

    def _start_one(self) -> None:
        """The queue is empty, so nothing is left in it that would be done later when nobody waits for it any more."""
        try:
            super().submit(int)
        except RuntimeError as error:
            self._work_queue.get_nowait()
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def _assume(owner: Owner) -> None:
    """Give this thread the owner's file identity. Raises OSError when the kernel did not do it."""
    try:
        groups = os.getgrouplist(pwd.getpwuid(owner.uid).pw_name, owner.gid)
    except KeyError:  # a uid without an account: its own group is all it has
        groups = [owner.gid]
    calls = _CALLS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if libc.syscall(calls["setgroups"], len(groups), array) != 0:
        raise OSError(ctypes.get_errno(), f"cannot take on the groups of uid {owner.uid}")
    for call, number in (("setfsgid", owner.gid), ("setfsuid", owner.uid)):
        libc.syscall(calls[call], number)
        if libc.syscall(calls[call], -1) != number:  # -1 changes nothing and answers what is set
            raise PermissionError(f"cannot take on {call[3:]} {number}")
