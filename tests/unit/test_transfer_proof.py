"""What proves that bytes are of one version, and what happens when nothing does: the worker over scripted replies."""

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.transfer_rig import Rig, part_of, whole
from transfer.crew import Crew
from transfer.errors import (
    ConnectFailedError,
    ConnectionLostError,
    DigestMismatchError,
    HttpStatusError,
    LoginPageError,
    UnexpectedSizeError,
)
from transfer.fake import Drop, FakeReply, FakeSource
from transfer.request import ByteRange, Credential, Settings, TlsTerms, Validators
from transfer.segments import Span

DATA = b"0123456789"
OTHER = b"abcdefghij"
SUM = hashlib.sha256(DATA).hexdigest()
MIRROR = "http://mirror/file"
BY_SIZE = Validators(size=10)
LONG_AGO = "Wed, 01 Jan 2025 00:00:00 GMT"


def field(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with Crew(4) as executor:
        yield Rig(tmp_path, FakeSource([]), executor, Settings())


def spans(source: FakeSource) -> list[tuple[str, Span | None]]:
    return [(ask.url.split("/")[2], ask.span) for ask in source.asks]


# Going on without a validator


async def test_without_a_validator_a_dropped_file_starts_over(rig: Rig) -> None:
    source = rig.play(whole([b"0123", Drop()], 10, None), whole([OTHER], 10, None))
    await rig.fetch()
    assert rig.data() == OTHER
    assert spans(source) == [("origin", None), ("origin", None)]


async def test_a_weak_date_is_no_validator(rig: Rig) -> None:
    dated = {"Last_Modified": LONG_AGO, "Date": LONG_AGO}
    source = rig.play(whole([b"0123", Drop()], 10, None, **dated), whole([OTHER], 10, None, **dated))
    await rig.fetch()
    assert rig.data() == OTHER
    assert source.asks[1].span is None


async def test_a_weak_etag_is_no_validator(rig: Rig) -> None:
    source = rig.play(whole([b"0123", Drop()], 10, 'W/"v1"'), whole([OTHER], 10, 'W/"v1"'))
    await rig.fetch()
    assert rig.data() == OTHER
    assert source.asks[1].span is None


async def test_a_given_digest_lets_a_file_without_validator_go_on(rig: Rig) -> None:
    source = rig.play(whole([b"0123", Drop()], 10, None), part_of([b"456789"], 4, 10, 10, None))
    await rig.fetch(digest={"sha256": SUM})
    assert rig.data() == DATA
    assert source.asks[1].span == Span(4)


async def test_a_wrong_continuation_is_found_by_the_digest_and_fetched_anew(rig: Rig) -> None:
    rig.play(
        whole([b"0123", Drop()], 10, None),
        part_of([b"XXXXXX"], 4, 10, 10, None),
        whole([DATA], 10, None),
    )
    await rig.fetch(digest={"sha256": SUM})
    assert rig.data() == DATA


async def test_a_file_of_another_size_does_not_go_on_even_with_a_digest(rig: Rig) -> None:
    rig.play(whole([b"0123", Drop()], 10, None), part_of([b"456789X"], 4, 11, 11, None), whole([DATA], 10, None))
    await rig.fetch(digest={"sha256": SUM})
    assert rig.data() == DATA


@pytest.mark.parametrize(("again", "rest", "kept"), [(b"0123", b"456789", DATA), (b"01X3", b"456789", OTHER)])
async def test_the_owner_may_let_an_overlap_decide(rig: Rig, again: bytes, rest: bytes, kept: bytes) -> None:
    source = rig.play(
        whole([b"0123", Drop()], 10, None), part_of([again[:1], again[1:] + rest], 0, 10, 10, None), whole([OTHER], 10)
    )
    await rig.fetch(may_resume_unvalidated=True)
    assert rig.data() == kept
    assert source.asks[1].span == Span(0)


async def test_an_overlap_is_no_longer_than_it_need_be(rig: Rig) -> None:
    data = bytes(range(256)) * 1000
    source = rig.play(part_of([data[200_000 - 65_536 :]], 200_000 - 65_536, 256_000, 256_000, None))
    part = rig.hold_part(data[:200_000])
    await rig.fetch(part=part, validators=Validators(size=256_000), may_resume_unvalidated=True)
    assert rig.data() == data
    assert source.asks[0].span == Span(200_000 - 65_536)


async def test_a_whole_file_of_the_proven_version_is_skipped_forward_to_what_is_missing(rig: Rig) -> None:
    rig.play(whole([b"01", b"2345", b"6789"], 10))
    await rig.fetch(part=rig.hold_part(b"0123"), validators=Validators('"v1"', None, 10))
    assert rig.data() == DATA
    assert rig.observer.started_at == [4]


async def test_the_end_of_a_file_of_unknown_size_is_learnt_from_a_416(rig: Rig) -> None:
    at_end = FakeReply((b"error page",), 416, {"ETag": '"v1"', "Content-Range": "bytes */10"})
    rig.play(whole([DATA, Drop()], None), at_end)
    assert (await rig.fetch()).size == 10
    assert rig.data() == DATA


async def test_a_login_page_does_not_take_the_place_of_a_file(rig: Rig) -> None:
    page = whole([b"<html>"], 6, None, Content_Type="text/html")
    rig.play(whole([b"0123", Drop()], 10, Content_Type="application/zip"), page)
    with pytest.raises(LoginPageError):
        await rig.fetch()
    assert rig.data() == b"0123"
    rig.play(part_of([b"456789"], 4, 10, 10, Content_Type="application/zip"))
    await rig.fetch()
    assert rig.data() == DATA


# Digests of the server


@pytest.mark.parametrize("name", ["Repr_Digest", "Digest"])
async def test_a_digest_that_the_server_sends_is_verified(rig: Rig, name: str) -> None:
    good = field(DATA) if name == "Repr_Digest" else field(DATA).replace("=:", "=").rstrip(":")
    rig.play(whole([DATA], 10, **{name: good}))
    await rig.fetch()
    rig.forget()
    rig.play(whole([OTHER], 10, **{name: good}), whole([OTHER], 10, **{name: good}))
    with pytest.raises(DigestMismatchError):
        await rig.fetch()
    assert rig.data() == b""


async def test_a_digest_of_the_server_covers_what_an_earlier_attempt_brought(rig: Rig) -> None:
    rig.play(whole([b"0123", Drop()], 10, Repr_Digest=field(DATA)), ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError):
        await rig.fetch()
    rig.play(part_of([b"XXXXXX"], 4, 10, 10), whole([DATA], 10))
    await rig.fetch()
    assert rig.data() == DATA


async def test_a_digest_that_comes_late_covers_the_bytes_before_it(rig: Rig) -> None:
    fields = {"Repr_Digest": field(DATA)}
    rig.play(whole([b"X123", Drop()], 10), part_of([b"456789"], 4, 10, 10, **fields), whole([DATA], 10, **fields))
    await rig.fetch()
    assert rig.data() == DATA


async def test_a_server_whose_digest_is_not_the_expected_one_is_found_out_at_the_head(rig: Rig) -> None:
    rig.play(whole([b"XXXX"], 10, Repr_Digest=field(OTHER)), whole([b"XXXX"], 10, Repr_Digest=field(OTHER)))
    with pytest.raises(DigestMismatchError):
        await rig.fetch(digest={"sha256": SUM})
    assert rig.observer.started_at == []


async def test_the_digest_of_one_reply_is_that_of_its_body(rig: Rig) -> None:
    rig.play(
        whole([b"0123", Drop()], 10, Content_Digest=field(DATA)),
        part_of([b"456789"], 4, 10, 10, Content_Digest=field(b"456789")),
    )
    await rig.fetch()
    assert rig.data() == DATA
    rig.forget()
    rig.play(whole([DATA], 10, Content_Digest=field(OTHER)), whole([DATA], 10, Content_Digest=field(DATA)))
    await rig.fetch()
    assert rig.data() == DATA


async def test_a_digest_of_the_whole_file_says_nothing_of_its_ranges(rig: Rig) -> None:
    rig.play(part_of([b"34"], 3, 5, 10, Repr_Digest=field(DATA)))
    await rig.fetch(ranges=(ByteRange(3, 2),))
    assert rig.data() == b"34"


# Mirrors


@pytest.mark.parametrize(
    "failure", [ConnectFailedError("refused"), FakeReply(status=404), whole([b"short"], 5), whole([OTHER], 10)]
)
async def test_whatever_goes_wrong_at_one_server_the_next_is_asked(rig: Rig, failure: FakeReply | Exception) -> None:
    source = rig.play(failure, whole([DATA], 10))
    await rig.fetch("http://origin/file", MIRROR, digest={"sha256": SUM}, expected_size=10)
    assert rig.data() == DATA
    assert spans(source) == [("origin", None), ("mirror", None)]
    assert rig.observer.remote is not None
    assert rig.observer.remote.source == MIRROR


async def test_when_every_server_failed_all_failures_are_told(rig: Rig) -> None:
    rig.play(FakeReply(status=404), ConnectFailedError("refused"))
    with pytest.raises(HttpStatusError) as caught:
        await rig.fetch("http://origin/file", MIRROR)
    assert [type(error) for error in caught.value.others] == [ConnectFailedError]


@pytest.mark.parametrize(
    ("etag", "options", "goes_on"),
    [
        ('"v1"', {}, True),
        ('"v2"', {}, False),
        (None, {}, False),
        ('"v2"', {"digest": {"sha256": SUM}}, True),
        (None, {"digest": {"sha256": SUM}}, True),
    ],
)
async def test_a_mirror_goes_on_only_with_the_same_file(
    rig: Rig, etag: str | None, options: dict[str, Any], goes_on: bool
) -> None:
    """Same size in all cases; the same strong ETag or a digest makes it the same file."""
    rig.hasten(reopen_limit=0)
    rest = part_of([b"456789"], 4, 10, 10, etag) if goes_on else whole([DATA], 10, etag)
    source = rig.play(whole([b"0123", Drop()], 10), rest)
    await rig.fetch("http://origin/file", MIRROR, **options)
    assert rig.data() == DATA
    assert rig.observer.started_at == ([0, 4] if goes_on else [0, 0])
    assert source.asks[1].validators.etag == (None if options else '"v1"')


async def test_a_mirror_is_not_taken_for_the_same_file_without_any_proof(rig: Rig) -> None:
    rig.hasten(reopen_limit=0)
    source = rig.play(whole([b"0123", Drop()], 10, None), whole([OTHER], 10, None))
    await rig.fetch("http://origin/file", MIRROR)
    assert rig.data() == OTHER
    assert spans(source)[1] == ("mirror", None)


async def test_the_next_attempt_begins_where_the_bytes_came_from(rig: Rig) -> None:
    rig.hasten(reopen_limit=0)
    rig.play(FakeReply(status=503), whole([b"0123", Drop()], 10))
    with pytest.raises(HttpStatusError):
        await rig.fetch("http://origin/file", MIRROR)
    source = rig.play(part_of([b"456789"], 4, 10, 10))
    await rig.fetch("http://origin/file", MIRROR)
    assert spans(source) == [("mirror", Span(4))]


async def test_mirrors_that_a_server_names_are_used_when_a_digest_proves_their_bytes(rig: Rig) -> None:
    rig.hasten(reopen_limit=0)
    fields = {"Link": f"<{MIRROR}>; rel=duplicate; pri=1", "Digest": field(DATA).replace("=:", "=").rstrip(":")}
    secrets: dict[str, Any] = {
        "headers": {"Authorization": "s", "X-Plain": "p"},
        "credentials": (Credential("SERVER", "BASIC", "u", "p"), Credential("PROXY", "BASIC", "u", "p")),
        "tls": TlsTerms(certificate="c", private_key="k"),
    }
    source = rig.play(whole([b"0123", Drop()], 10, **fields), part_of([b"456789"], 4, 10, 10, '"m"'))
    await rig.fetch(**secrets)
    assert rig.data() == DATA
    assert source.asks[1].url == MIRROR
    terms = source.asks[1].terms
    assert terms.headers == {"X-Plain": "p"}
    assert [credential.target for credential in terms.credentials] == ["PROXY"]
    assert terms.tls == TlsTerms()


async def test_mirrors_that_a_server_names_are_not_trusted_without_a_digest(rig: Rig) -> None:
    rig.hasten(reopen_limit=0)
    rig.play(whole([b"0123", Drop()], 10, Link=f"<{MIRROR}>; rel=duplicate"))
    with pytest.raises(ConnectionLostError):
        await rig.fetch()


async def test_wrong_bytes_are_fetched_from_every_mirror_before_they_are_an_error(rig: Rig) -> None:
    source = rig.play(whole([OTHER], 10), whole([OTHER], 10), whole([b"x"], 1))
    with pytest.raises(DigestMismatchError):
        await rig.fetch("http://origin/file", MIRROR, "http://third/file", digest={"sha256": SUM})
    assert [url for url, _ in spans(source)] == ["origin", "mirror", "third"]


async def test_a_size_that_is_not_expected_is_asked_for_once_more(rig: Rig) -> None:
    rig.play(whole([b"portal"], 6, None), whole([DATA], 10))
    await rig.fetch(expected_size=10)
    assert rig.data() == DATA
    rig.forget()
    rig.play(whole([b"portal"], 6, None), whole([b"portal"], 6, None))
    with pytest.raises(UnexpectedSizeError):
        await rig.fetch(expected_size=10)


# Ranges of one version


async def test_ranges_without_a_validator_are_looked_at_twice(rig: Rig) -> None:
    ranges = (ByteRange(7, 2), ByteRange(1, 3))
    first, second = part_of([b"78"], 7, 9, 10, None), part_of([b"123"], 1, 4, 10, None)
    source = rig.play(first, second, first)
    await rig.fetch(ranges=ranges)
    assert rig.data() == b"78123"
    assert [ask.span for ask in source.asks] == [Span(7, 9), Span(1, 4), Span(7, 9)]


async def test_ranges_that_changed_in_between_are_all_fetched_anew(rig: Rig) -> None:
    ranges = (ByteRange(7, 2), ByteRange(1, 3))
    old, new = part_of([b"78"], 7, 9, 10, None), part_of([b"hi"], 7, 9, 10, None)
    second = part_of([b"bcd"], 1, 4, 10, None)
    rig.play(old, second, new, new, second, new)
    await rig.fetch(ranges=ranges)
    assert rig.data() == b"hibcd"


async def test_ranges_need_no_second_look_when_a_digest_tells(rig: Rig) -> None:
    rig.play(part_of([b"01234"], 0, 5, 10, None), part_of([b"56789"], 5, 10, 10, None))
    await rig.fetch(ranges=(ByteRange(0, 5), ByteRange(5)), digest={"sha256": SUM})
    assert rig.data() == DATA


async def test_the_owner_may_let_an_overlap_decide_within_a_range(rig: Rig) -> None:
    first = part_of([b"01234"], 0, 5, 10, None)
    source = rig.play(first, part_of([b"567", Drop()], 5, 10, 10, None), part_of([b"56789"], 5, 10, 10, None), first)
    await rig.fetch(ranges=(ByteRange(0, 5), ByteRange(5)), may_resume_unvalidated=True)
    assert rig.data() == DATA
    assert [ask.span for ask in source.asks] == [Span(0, 5), Span(5, 10), Span(5, 10), Span(0, 5)]


async def test_an_overlap_does_not_help_when_a_weak_validator_changed(rig: Rig) -> None:
    source = rig.play(
        whole([b"0123", Drop()], 10, 'W/"v1"'),
        part_of([b"0123456789"], 0, 10, 10, 'W/"v2"'),
        whole([OTHER], 10, 'W/"v2"'),
    )
    await rig.fetch(may_resume_unvalidated=True)
    assert rig.data() == OTHER
    assert source.asks[2].span is None


async def test_a_range_that_breaks_off_without_a_validator_starts_the_file_over(rig: Rig) -> None:
    ranges = (ByteRange(0, 5), ByteRange(5))
    first = part_of([b"01234"], 0, 5, 10, None)
    rig.play(first, part_of([b"56", Drop()], 5, 10, 10, None), first, part_of([b"56789"], 5, 10, 10, None), first)
    await rig.fetch(ranges=ranges)
    assert rig.data() == DATA
