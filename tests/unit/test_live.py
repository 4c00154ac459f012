"""What a client sees of a running transfer: landed bytes count at once, never twice, never more than there are."""

from dataclasses import dataclass, replace

import pytest

from jobqueue.job import Job, State, Totals
from jobqueue.live import LiveProgress
from tests.builders import a_file, a_job


@dataclass
class Count:
    transferred: int = 0
    readable: int = 0


def a_running_job(size: int | None = 100, recorded: int = 0) -> Job:
    totals = Totals(1, 0, size or 0, int(size is None), recorded)
    return a_job(State.TRANSFERRING, totals=totals)


def test_a_job_without_an_attempt_shows_what_is_on_record() -> None:
    live = LiveProgress()
    assert live.job_bytes(a_running_job(recorded=30)) == 30
    assert live.file_bytes("j", a_file(offset=30)) == 30
    assert live.job_ids() == []


def test_landed_bytes_show_before_they_are_on_record() -> None:
    live, count = LiveProgress(), Count(30)
    live.watch("j", a_file(offset=30), count)
    count.transferred = 75
    assert live.job_bytes(a_running_job(recorded=30)) == 75
    assert live.file_bytes("j", a_file(offset=30)) == 75
    assert live.job_ids() == ["j"]


def test_recorded_bytes_are_not_counted_twice() -> None:
    live, count = LiveProgress(), Count(30)
    live.watch("j", a_file(offset=30), count)
    count.transferred = 75
    live.recorded("j", 0, 60)
    assert live.job_bytes(a_running_job(recorded=60)) == 75


def test_every_running_file_of_a_job_counts() -> None:
    live = LiveProgress()
    live.watch("j", a_file(0), Count(5))
    live.watch("j", a_file(1), Count(7))
    live.watch("other", a_file(0), Count(1000))
    assert live.job_bytes(a_running_job(size=None)) == 12
    live.forget("j", 0)
    assert live.job_bytes(a_running_job(size=None)) == 7


def test_a_file_that_starts_from_zero_takes_its_bytes_back() -> None:
    live, count = LiveProgress(), Count(0)
    live.watch("j", a_file(offset=60), count)
    assert live.job_bytes(a_running_job(recorded=60)) == 0
    assert live.file_bytes("j", a_file(offset=60)) == 0


@pytest.mark.parametrize(("landed", "shown"), [(500, 100), (-500, 0)])
def test_progress_is_never_more_than_the_total_nor_less_than_nothing(landed: int, shown: int) -> None:
    live = LiveProgress()
    live.watch("j", a_file(), Count(landed))
    assert live.job_bytes(a_running_job(size=100)) == shown


def test_a_forgotten_job_leaves_nothing_behind() -> None:
    live = LiveProgress()
    live.watch("j", a_file(), Count(5))
    live.forget("j", 0)
    live.recorded("j", 0, 5)  # a late report is ignored
    assert live.job_ids() == []
    assert live.job_bytes(a_running_job()) == 0


def test_totals_know_the_whole_only_when_every_size_is_known() -> None:
    unknown, known = a_file(0), a_file(1, size=40, offset=10)
    totals = Totals().changed(None, unknown).changed(None, known)
    assert (totals.files, totals.bytes_total, totals.bytes_transferred) == (2, None, 10)
    done = replace(unknown, size=60, offset=60, transferred=True)
    totals = totals.changed(unknown, done)
    assert (totals.bytes_total, totals.bytes_transferred, totals.files_transferred) == (100, 70, 1)
    assert not totals.is_transferred
    assert totals.changed(known, replace(known, offset=40, transferred=True)).is_transferred


def test_a_job_without_files_has_a_total_of_zero_and_is_not_transferred() -> None:
    assert Totals().bytes_total == 0
    assert not Totals().is_transferred
