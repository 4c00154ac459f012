"""The self-check when the machine cannot look at a file: that is a finding about the file, and no end of the check."""

import errno
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from daemon.doctor import Doctor
from jobqueue.landing import Landed
from jobqueue.store import Store
from tests.queue_stage import anyone, staged


class NoThreads(ThreadPoolExecutor):
    """As daemon.identity's pools when there is no thread to be had."""

    def of(self, _owner: object) -> "NoThreads":
        return self

    def submit(self, *_work: object, **_options: object) -> Any:  # noqa: ANN401 - never returns
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


async def test_a_file_that_cannot_be_looked_at_is_named_and_nothing_is_done_about_it(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=2)
        await on.reports.synced(job_id, 0, Landed(7, 1, 2))
        await on.queue.suspend(job_id, anyone)
        job, (first, second) = await on.job(job_id), await on.reports.files(job_id)
        with NoThreads() as pool:
            doctor = Doctor(on.queue, on.store, on.finisher.leftovers, cast("Any", pool), {})
            found = await doctor._file(job, first, fix=True)
        assert found is not None
        assert (found.code, found.path, found.mend, found.is_mended) == (
            "TEMPORARY_FILE_UNREADABLE", first.temporary_name, None, False,
        )  # fmt: skip
        assert list(await on.reports.files(job_id)) == [first, second]
