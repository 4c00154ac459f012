"""The files an attempt takes one after the other: read a few at a time, and as the owner last set them."""

import pytest

from jobqueue.job import Priority
from jobqueue.secrets import Credential
from jobqueue.store import Store
from jobqueue.upcoming import AT_A_TIME
from jobqueue.vault import Vault
from tests.builders import a_file
from tests.queue_stage import anyone, settle, staged

pytestmark = pytest.mark.looptime
COUNT = 2 * AT_A_TIME + 5


async def test_every_file_comes_once_and_in_order(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=COUNT, priority=Priority.FOREGROUND)
        await on.transferred(job_id, 1, AT_A_TIME)
        with on.reports.upcoming(job_id) as files:
            taken = []
            while (file := await files.take()) is not None:
                taken.append(file.index)
        assert taken == [index for index in range(COUNT) if index not in {1, AT_A_TIME}]


async def test_what_the_owner_sets_counts_for_the_next_file(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=3, priority=Priority.FOREGROUND)
        with on.reports.upcoming(job_id) as files:
            await files.take()
            await on.queue.set_remote_name(job_id, 1, anyone, "http://elsewhere/1")
            file = await files.take()
            assert file is not None
            assert file.remote_name == "http://elsewhere/1"
            credential = Credential("SERVER", "BASIC", "ann", "secret")
            await Vault(on.queue).put_credential(job_id, anyone, credential)
            await files.take()
            assert files.secrets.credentials == (credential,)


async def test_progress_makes_nobody_read_again(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(files=3, priority=Priority.FOREGROUND)
        with on.reports.upcoming(job_id) as files:
            await files.take()
            await on.transferred(job_id, 0)
            await settle()
            calls = on.store.calls
            await files.take()
            assert on.store.calls == calls


async def test_files_that_were_added_meanwhile_come_too(store: Store) -> None:
    async with staged(store) as on:
        job_id = await on.create(priority=Priority.FOREGROUND)
        with on.reports.upcoming(job_id) as files:
            await files.take()
            assert await files.take() is None
            await on.queue.add_files(job_id, anyone, [a_file(1)])
            file = await files.take()
            assert file is not None
            assert file.index == 1
