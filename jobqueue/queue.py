"""JobQueue: every change of a job passes here; it is committed, then whoever waits is told.

Owns the calls an owner can make (calls.py) except Complete and Cancel, which reach into the file system (finish.py).
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TypeVar

from jobqueue import calls, edit, retry
from jobqueue.calls import NewJob
from jobqueue.change import Change, Clock, Guard
from jobqueue.ids import Ids
from jobqueue.job import File, Job, Owner
from jobqueue.live import LiveProgress
from jobqueue.recent import Recent
from jobqueue.secrets import Credential
from jobqueue.store import Store
from jobqueue.transaction import IdempotentRequest, Transaction
from jobqueue.watch import WatchedStore

T = TypeVar("T")


class JobQueue:
    """The queue. `policy` and `limits` may be replaced while running (reload)."""

    def __init__(self, store: Store, clock: Clock, policy: retry.Policy, limits: edit.Limits) -> None:
        self.clock = clock
        self.policy = policy
        self.limits = limits
        self.live = LiveProgress()
        self.commits = 0
        """How many changes there have been: what was read before the last of them may be out of date."""
        self.next_wake = inf
        """When the scheduler will look by itself; an earlier timer wakes it."""
        self.store = WatchedStore(store)
        self._ids = Ids()
        self._recent = Recent()
        self._on_change: list[Callable[[Change], None]] = []

    def subscribe(self, told: Callable[[Change], None]) -> None:
        """Call `told` after every commit."""
        self._on_change.append(told)

    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` in a transaction of its own; committed when this returns, nothing changed when it raises.

        Cancelled, it is carried out all the same, and whoever waits for changes is told. Raises StoreFullError,
        StoreFailedError.
        """
        changes: list[Change] = []

        def in_transaction(tx: Transaction) -> T:
            change = Change(tx, self.clock.now(), self.clock.wall(), self.policy, self._ids, self.next_wake)
            changes.append(change)
            result = work(change)
            tx.set_meta("clock", repr(change.now))
            return result

        try:
            return await self.store.write(in_transaction)
        finally:
            self.commits += 1
            for change in changes:
                self._recent.forget(change.job_ids)
            for told in self._on_change if changes else ():
                told(changes[-1])

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on the committed state. Raises StoreFailedError."""
        return await self.store.read(work)

    async def job(self, job_id: str) -> Job:
        """The job as it is committed; one that was asked for lately is known by heart. Raises NotFoundError."""
        return self._recent.get(job_id) or await self._recent.read(job_id, lambda: self.read(lambda tx: tx.job(job_id)))

    async def create(self, new: NewJob, request: IdempotentRequest | None = None) -> Job:
        """See calls.create."""
        return await self.change(lambda change: calls.create(change, self.limits, new, request))

    async def set_properties(self, job_id: str, guard: Guard, values: Mapping[str, object]) -> Job:
        """See calls.set_properties."""
        return await self.change(lambda change: calls.set_properties(change, self.limits, job_id, guard, values))

    async def add_files(
        self,
        job_id: str,
        guard: Guard,
        files: Sequence[File],
        credentials: Sequence[Credential] = (),
        *,
        is_exempt: bool = False,
    ) -> Sequence[File]:
        """See calls.add_files."""
        return await self.change(
            lambda change: calls.add_files(
                change, self.limits, job_id, guard, files, credentials=credentials, is_exempt=is_exempt
            )
        )

    async def suspend(self, job_id: str, guard: Guard) -> Job:
        """See calls.suspend."""
        return await self.change(lambda change: calls.suspend(change, job_id, guard))

    async def resume(self, job_id: str, guard: Guard) -> Job:
        """See calls.resume."""
        return await self.change(lambda change: calls.resume(change, job_id, guard))

    async def take_ownership(self, job_id: str, guard: Guard, owner: Owner) -> Job:
        """See calls.take_ownership."""
        return await self.change(lambda change: calls.take_ownership(change, job_id, guard, owner))

    async def set_remote_name(
        self, job_id: str, index: int, guard: Guard, remote_name: str, credentials: Sequence[Credential] = ()
    ) -> File:
        """See calls.set_remote_name."""
        return await self.change(
            lambda change: calls.set_remote_name(change, job_id, index, guard, remote_name, credentials=credentials)
        )

    async def replace_remote_prefix(
        self,
        job_id: str,
        guard: Guard,
        old: str,
        new: str,
        parse: Callable[[str], tuple[str, Sequence[Credential]]],
    ) -> tuple[Job, int]:
        """See calls.replace_remote_prefix."""
        return await self.change(lambda change: calls.replace_remote_prefix(change, job_id, guard, (old, new), parse))

    async def validate(self, job_id: str, index: int, guard: Guard, *, is_valid: bool) -> File:
        """See calls.validate."""
        return await self.change(lambda change: calls.validate(change, job_id, index, guard, is_valid=is_valid))
