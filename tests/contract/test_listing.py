"""A listing that goes on while jobs change hands: each page shows what is the caller's when it is made."""

from types import SimpleNamespace
from typing import Any, cast

from daemon.access import Caller
from daemon.api.jobs import _pages
from daemon.documents import Documents
from jobqueue.store import Store
from tests.builders import ANNA, ROOT
from tests.queue_stage import anyone, staged


async def test_a_job_that_was_taken_since_the_listing_began_is_not_shown_to_its_former_owner(store: Store) -> None:
    async with staged(store) as on:
        kept, taken = await on.create(resume=False), await on.create(resume=False)
        rows = [(await on.job(job_id)).row for job_id in (kept, taken)]
        await on.queue.take_ownership(taken, anyone, ROOT)
        backend = SimpleNamespace(queue=on.queue, documents=Documents(on.queue, lambda _: "slots"))
        call = cast("Any", SimpleNamespace(backend=backend, caller=Caller(ANNA.uid, ANNA.gid, 0)))
        for owner_uid, shown in ((ANNA.uid, [kept]), (ROOT.uid, [taken]), (None, [kept, taken])):
            pages = _pages(call, rows, frozenset({"id"}), owner_uid=owner_uid, include_files=False)
            texts = [text.decode() async for page in pages for text in page]
            assert texts == [f'{{"id":"{job_id}"}}' for job_id in shown]
