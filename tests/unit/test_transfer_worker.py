import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.transfer_rig import Rig, part_of, whole
from transfer.crew import Crew
from transfer.errors import (
    BadReplyError,
    ConnectFailedError,
    ConnectionLostError,
    DigestMismatchError,
    InvalidRangeError,
    RemoteChangedError,
    StalledError,
    TooLargeError,
    UnexpectedSizeError,
)
from transfer.fake import Drop, FakeReply, FakeSource, Hold, Stall
from transfer.request import ByteRange, Piece, RemoteFile, Settings, Validators
from transfer.segments import Span

KNOWN = Validators('"v1"', None, 10)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with Crew(4) as executor:
        yield Rig(tmp_path, FakeSource([]), executor, Settings())


async def test_a_whole_file_is_written_recorded_and_synced(rig: Rig) -> None:
    source = rig.play(whole([b"01234", b"56789"], 10))
    assert (await rig.fetch()).size == 10
    assert rig.data() == b"0123456789"
    assert rig.observer.started_at == [0]
    assert rig.observer.synced_at == []  # its end is reported by whoever asked for it
    assert rig.progress.transferred == 10
    assert source.asks[0].span is None


async def test_a_recorded_part_is_continued_from_its_offset(rig: Rig) -> None:
    source = rig.play(part_of([b"456789"], 4, 10, 10))
    await rig.fetch(part=rig.hold_part(b"0123XX", offset=4), validators=KNOWN)
    assert rig.data() == b"0123456789"
    assert source.asks[0].span == Span(4)
    assert source.asks[0].validators == KNOWN
    assert rig.observer.started_at == [4]


async def test_a_part_whose_bytes_are_not_those_on_record_is_fetched_anew(rig: Rig) -> None:
    record = rig.hold_part(b"01234567", offset=6)
    with rig.part.open("r+b") as file:
        file.write(b"X")
    source = rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"0123456789"
    assert source.asks[0].span is None


async def test_a_part_without_a_checksum_is_continued_only_if_nobody_wrote_to_it_since(rig: Rig) -> None:
    record = rig.hold_part(b"0123")
    untouched = replace(record, checksum=None, mtime=rig.part.stat().st_mtime_ns)
    for part, start in ((untouched, 4), (replace(untouched, mtime=1), None)):
        source = rig.play(part_of([b"456789"], 4, 10, 10) if start else whole([b"0123456789"], 10))
        await rig.fetch(part=part, validators=KNOWN)
        assert (rig.data(), source.asks[0].span) == (b"0123456789", Span(4) if start else None)


async def test_a_complete_part_needs_no_request(rig: Rig) -> None:
    source = rig.play()
    assert (await rig.fetch(part=rig.hold_part(b"0123456789"), validators=KNOWN)).size == 10
    assert source.asks == []


async def test_an_empty_file_of_known_size_needs_no_request_when_its_part_exists(rig: Rig) -> None:
    rig.play()
    assert (await rig.fetch(part=rig.hold_part(b""), validators=Validators(size=0))).size == 0


@pytest.mark.parametrize("options", [{"is_resumable": False, "validators": KNOWN}, {"validators": Validators(size=10)}])
async def test_what_cannot_be_resumed_starts_from_zero(rig: Rig, options: dict[str, Any]) -> None:
    source = rig.play(whole([b"0123456789"], 10))
    await rig.fetch(part=rig.hold_part(b"XXXX"), **options)
    assert rig.data() == b"0123456789"
    assert source.asks[0].span is None


async def test_a_whole_file_in_answer_to_a_resume_replaces_everything(rig: Rig) -> None:
    rig.play(whole([b"abc"], 3, '"v2"'))
    assert (await rig.fetch(part=rig.hold_part(b"0123"), validators=KNOWN)).size == 3
    assert rig.data() == b"abc"
    assert rig.observer.started_at == [0]
    assert rig.observer.remote is not None
    assert rig.observer.remote.validators == Validators('"v2"', None, 3)


async def test_a_part_of_another_version_is_thrown_away_and_the_file_asked_for_again(rig: Rig) -> None:
    source = rig.play(part_of([b"XXXXXX"], 4, 10, 10, '"v2"'), whole([b"abcdefghij"], 10, '"v2"'))
    await rig.fetch(part=rig.hold_part(b"0123"), validators=KNOWN)
    assert rig.data() == b"abcdefghij"
    assert [ask.span for ask in source.asks] == [Span(4), None]


async def test_a_file_that_never_stays_the_same_is_given_up(rig: Rig) -> None:
    rig.hasten(reopen_limit=99)
    versions = [f'"v{n}"' for n in range(5)]
    scenes = [whole([b"0123", Drop()], 10, versions[0])]
    for version in versions[1:]:
        scenes += [whole([b"0123", Drop()], 10, version)]
    rig.play(*scenes)
    with pytest.raises(RemoteChangedError) as caught:
        await rig.fetch()
    assert caught.value.moved


async def test_a_dropped_connection_that_moved_bytes_is_reopened_where_it_broke(rig: Rig) -> None:
    source = rig.play(whole([b"0123", Drop()], 10), part_of([b"45", Drop()], 4, 10, 10), part_of([b"6789"], 6, 10, 10))
    await rig.fetch()
    assert rig.data() == b"0123456789"
    assert [ask.span for ask in source.asks] == [None, Span(4), Span(6)]
    assert rig.observer.started_at == [0]


async def test_reopening_ends_at_the_limit(rig: Rig) -> None:
    rig.hasten(reopen_limit=1)
    rig.play(whole([b"01", Drop()], 10), part_of([b"2", Drop()], 2, 10, 10))
    with pytest.raises(ConnectionLostError) as caught:
        await rig.fetch()
    assert caught.value.moved
    assert rig.data() == b"012"
    assert rig.observer.synced_at[-1] == 3


async def test_a_drop_without_a_byte_is_not_reopened(rig: Rig) -> None:
    rig.play(whole([Drop()], 10))
    with pytest.raises(ConnectionLostError) as caught:
        await rig.fetch()
    assert not caught.value.moved


async def test_a_drop_with_nothing_to_resume_by_starts_over_at_once(rig: Rig) -> None:
    source = rig.play(whole([b"0123", Drop()], 10, None), whole([b"abcdefghij"], 10, None))
    await rig.fetch()
    assert rig.data() == b"abcdefghij"
    assert [ask.span for ask in source.asks] == [None, None]
    assert rig.observer.started_at == [0, 0]


async def test_a_drop_of_what_is_not_resumable_is_an_error(rig: Rig) -> None:
    rig.play(whole([b"0123", Drop()], 10))
    with pytest.raises(ConnectionLostError):
        await rig.fetch(is_resumable=False)


async def test_a_reopening_that_finds_nobody_says_that_bytes_had_moved(rig: Rig) -> None:
    rig.play(whole([b"0123", Drop()], 10), ConnectFailedError("cannot connect"))
    with pytest.raises(ConnectFailedError) as caught:
        await rig.fetch()
    assert caught.value.moved


async def test_a_stall_keeps_what_came_and_is_not_reopened(rig: Rig) -> None:
    rig.play(whole([b"0123", Stall()], 10))
    with pytest.raises(StalledError) as caught:
        await rig.fetch()
    assert caught.value.moved
    assert rig.data() == b"0123"
    assert rig.observer.synced_at == [4]


async def test_a_cancelled_transfer_keeps_syncs_and_reports_its_bytes(rig: Rig) -> None:
    hold = Hold()
    rig.play(whole([b"0123", b"45", hold, b"6789"], 10))
    task = asyncio.ensure_future(rig.fetch())
    await hold.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.data() == b"012345"
    assert rig.observer.synced_at == [6]
    assert rig.progress.transferred == 6


async def test_a_second_cancel_does_not_cut_the_first_ones_work(rig: Rig) -> None:
    hold = Hold()
    rig.play(whole([b"0123", hold], 10))
    is_recording, may_go = asyncio.Event(), asyncio.Event()

    async def slow(offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        is_recording.set()
        await may_go.wait()
        rig.observer.synced_at.append(offset)

    rig.observer.synced = slow  # type: ignore[method-assign]
    task = asyncio.ensure_future(rig.fetch())
    await hold.reached.wait()
    task.cancel()
    await is_recording.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.02)
    assert not done
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.observer.synced_at == [4]


async def test_bytes_are_synced_and_reported_while_the_body_still_flows(rig: Rig) -> None:
    rig.hasten(checkpoint_interval=0.001, chunk_size=1)
    hold = Hold()
    rig.play(whole([b"0123", hold, b"456789"], 10))
    is_synced = asyncio.Event()

    async def noticed(offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        rig.observer.synced_at.append(offset)
        is_synced.set()

    rig.observer.synced = noticed  # type: ignore[method-assign]
    task = asyncio.ensure_future(rig.fetch())
    await is_synced.wait()
    assert rig.observer.synced_at == [4]
    hold.until.set()
    await task


async def test_much_is_synced_before_its_time_and_never_more_than_twice_as_much_is_not(rig: Rig) -> None:
    rig.hasten(checkpoint_interval=1000, chunk_size=1, sync_size=10)
    chunks = [bytes([65 + number]) for number in range(60)]
    rig.play(whole(chunks, 60))
    await rig.fetch()
    steps = [after - before for before, after in pairwise([0, *rig.observer.synced_at, 60])]
    assert len(steps) > 2
    assert max(steps) <= 20


async def test_a_sync_of_the_old_version_is_never_reported_after_the_restart(rig: Rig) -> None:
    rig.hasten(checkpoint_interval=0.001, chunk_size=1)
    drop, again = Hold(), Hold()
    rig.play(whole([b"0123", drop, Drop()], 10, None), whole([again, b"abcdefghij"], 10, None))
    is_recording, may_go = asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def slow(offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        is_recording.set()
        await may_go.wait()
        told.append(f"synced {offset}")

    async def started(remote: RemoteFile, offset: int) -> None:
        told.append(f"started {offset}")

    rig.observer.synced = slow  # type: ignore[method-assign]
    rig.observer.started = started  # type: ignore[method-assign]
    task = asyncio.ensure_future(rig.fetch())
    await is_recording.wait()
    drop.until.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(again.reached.wait(), 0.05)
    may_go.set()
    again.until.set()
    await task
    assert told == ["started 0", "synced 4", "started 0"]


async def test_a_failing_record_ends_the_transfer_with_that_failure(rig: Rig) -> None:
    rig.hasten(checkpoint_interval=0.001, chunk_size=1)
    rig.play(whole([b"0123456789", Hold()], 10))

    async def broken(offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        raise LookupError

    rig.observer.synced = broken  # type: ignore[method-assign]
    with pytest.raises(LookupError):
        await rig.fetch()


async def test_digests_are_checked_and_may_be_written_in_capitals(rig: Rig) -> None:
    data = b"0123456789"
    digest = {"sha256": hashlib.sha256(data).hexdigest().upper(), "shake_128": hashlib.shake_128(data).hexdigest(20)}
    rig.play(whole([data], 10))
    assert (await rig.fetch(digest=digest)).size == 10


async def test_a_digest_covers_the_bytes_that_were_there_before(rig: Rig) -> None:
    rig.play(part_of([b"456789"], 4, 10, 10))
    digest = {"md5": hashlib.md5(b"0123456789").hexdigest()}
    assert (await rig.fetch(part=rig.hold_part(b"0123"), validators=KNOWN, digest=digest)).size == 10


async def test_a_digest_is_that_of_the_version_that_is_kept(rig: Rig) -> None:
    rig.play(whole([b"abcdefghij"], 10, '"v2"'))
    digest = {"md5": hashlib.md5(b"abcdefghij").hexdigest()}
    assert (await rig.fetch(part=rig.hold_part(b"0123"), validators=KNOWN, digest=digest)).size == 10


async def test_a_wrong_digest_is_fetched_once_more_and_then_leaves_no_byte_behind(rig: Rig) -> None:
    rig.play(whole([b"0123456789"], 10), whole([b"0123456789"], 10))
    with pytest.raises(DigestMismatchError) as caught:
        await rig.fetch(digest={"sha256": "00" * 32})
    assert caught.value.moved
    assert rig.data() == b""
    assert rig.progress.transferred == 0


async def test_sizes_are_checked_at_the_head(rig: Rig) -> None:
    rig.play(*[whole([b"0123456789"], 10)] * 3)
    with pytest.raises(UnexpectedSizeError):
        await rig.fetch(expected_size=11)
    with pytest.raises(TooLargeError):
        await rig.fetch(maximum_size=9)
    assert rig.observer.started_at == []


async def test_sizes_are_checked_when_the_head_does_not_tell(rig: Rig) -> None:
    rig.play(*[whole([b"01234", b"56789"], None)] * 3)
    with pytest.raises(TooLargeError):
        await rig.fetch(maximum_size=9)
    assert rig.data() == b"01234"
    with pytest.raises(UnexpectedSizeError):
        await rig.fetch(expected_size=11)


async def test_a_body_of_unknown_length_is_complete_when_it_ends(rig: Rig) -> None:
    rig.play(whole([b"01234"], None))
    assert (await rig.fetch()).size == 5


async def test_more_than_promised_is_refused_and_less_is_a_lost_connection(rig: Rig) -> None:
    rig.play(whole([b"01234567890"], 10))
    with pytest.raises(BadReplyError):
        await rig.fetch()
    source = rig.play(whole([b"0123"], 10), part_of([b"456789"], 4, 10, 10))
    assert (await rig.fetch()).size == 10
    assert len(source.asks) == 2


async def test_ranges_are_fetched_in_order_and_concatenated(rig: Rig) -> None:
    source = rig.play(part_of([b"78"], 7, 9, 10), part_of([b"123"], 1, 4, 10), part_of([b"9"], 9, 10, 10))
    assert (await rig.fetch(ranges=(ByteRange(7, 2), ByteRange(1, 3), ByteRange(9)))).size == 6
    assert rig.data() == b"781239"
    assert [ask.span for ask in source.asks] == [Span(7, 9), Span(1, 4), Span(9, 10)]
    assert rig.observer.started_at == [0]


async def test_a_resume_lands_in_the_right_range(rig: Rig) -> None:
    source = rig.play(part_of([b"23"], 2, 4, 10))
    await rig.fetch(part=rig.hold_part(b"781"), validators=KNOWN, ranges=(ByteRange(7, 2), ByteRange(1, 3)))
    assert rig.data() == b"78123"
    assert source.asks[0].span == Span(2, 4)


async def test_ranges_that_do_not_fit_the_remote_file_are_invalid(rig: Rig) -> None:
    rig.play(part_of([b"7"], 7, 8, 10), FakeReply((), 416, {"Content-Range": "bytes */10"}))
    with pytest.raises(InvalidRangeError):
        await rig.fetch(ranges=(ByteRange(7, 1), ByteRange(9, 5)))
    with pytest.raises(InvalidRangeError):
        await rig.fetch(ranges=(ByteRange(70, 1),))


async def test_a_part_longer_than_the_file_begins_again(rig: Rig) -> None:
    rig.play(whole([b"0123456789"], 10))
    record = rig.hold_part(b"0123456789XX")
    await rig.fetch(part=record, validators=KNOWN)
    assert rig.data() == b"0123456789"
