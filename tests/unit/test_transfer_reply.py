import base64
from dataclasses import replace

import pytest

from transfer.errors import (
    BadReplyError,
    GarbledReplyError,
    HttpStatusError,
    InvalidRangeError,
    LoginPageError,
    RangeUnsupportedError,
)
from transfer.reply import Complete, Continue, Fresh, Restart, Verdict, judge, parse_retry_after
from transfer.request import Validators
from transfer.segments import Span
from transfer.source import Ask, Head

URL = "http://origin/file"
LONG_AGO = "Wed, 01 Jan 2025 00:00:00 GMT"
NOW = 1_767_225_600.0
KNOWN = Validators('"v1"', LONG_AGO, 1000)
DATED = Validators(None, LONG_AGO, 1000)
UNDATED = Validators('"v1"', None, 1000)
ALL_OF_IT = Complete(Validators('"v1"', None, 400))
BY_SIZE = Validators(size=1000)
START = Ask(URL)
RESUME = Ask(URL, span=Span(400), validators=KNOWN)
RESUME_BY_DATE = Ask(URL, span=Span(400), validators=DATED)
RESUME_BY_SIZE = Ask(URL, span=Span(400), validators=BY_SIZE)
RESUME_OF_UNKNOWN_SIZE = Ask(URL, span=Span(400), validators=Validators('"v1"'))
RESUME_OF_IMAGE = Ask(URL, span=Span(400), validators=replace(KNOWN, media_type="application/x-iso"))
PIECE = Ask(URL, span=Span(400, 500), is_piece=True)
LATER_PIECE = Ask(URL, span=Span(400, 500), is_piece=True, validators=KNOWN)
PROVEN = {"ETag": '"v1"', "Last-Modified": LONG_AGO}
REST = PROVEN | {"Content-Range": "bytes 400-999/1000"}
OTHER_SUM = base64.b64encode(bytes(32)).decode()
RESUME_OF_PROMISED = Ask(URL, span=Span(400), validators=Validators(size=1000, digest=(("sha256", "11" * 32),)))


def head(status: int, fields: dict[str, str] | list[tuple[str, str]]) -> Head:
    pairs = fields.items() if isinstance(fields, dict) else fields
    return Head(URL, status, tuple(pairs), received=NOW)


CONTINUES: list[tuple[Ask, int, dict[str, str], Verdict]] = [
    (START, 200, {"Content-Length": "1000"} | PROVEN, Fresh(1000, KNOWN)),
    (START, 200, {"Content-Length": "0"}, Fresh(0, Validators(size=0))),
    (START, 200, {"Content-Length": "9999999999999"}, Fresh(9999999999999, Validators(size=9999999999999))),
    (START, 200, {"Content-Length": "5, 5"}, Fresh(5, Validators(size=5))),
    (START, 200, {}, Fresh(None, Validators())),
    (START, 200, {"Content-Length": "5", "Transfer-Encoding": "chunked"}, Fresh(5, Validators(size=5))),
    (START, 200, {"Content-Encoding": "identity"}, Fresh(None, Validators())),
    (START, 200, {"Content-Type": "Text/HTML; charset=x"}, Fresh(None, Validators(media_type="text/html"))),
    (RESUME, 206, REST, Continue(600, KNOWN)),
    (RESUME, 206, REST | {"Content-Length": "600"}, Continue(600, KNOWN)),
    (RESUME, 206, REST | {"Content-Range": "BYTES 400-449/1000"}, Continue(50, KNOWN)),
    (
        RESUME,
        206,
        {"ETag": '"v1"', "Content-Range": REST["Content-Range"]},
        Continue(600, Validators('"v1"', None, 1000)),
    ),
    (RESUME_BY_DATE, 206, REST, Continue(600, KNOWN)),
    (RESUME_BY_SIZE, 206, REST, Continue(600, KNOWN)),
    (RESUME_BY_SIZE, 206, {"Content-Range": "bytes 400-999/1000"}, Continue(600, BY_SIZE)),
    (RESUME, 200, {"ETag": '"v2"', "Content-Length": "7"}, Fresh(7, Validators('"v2"', None, 7))),
    (RESUME, 200, PROVEN | {"Content-Length": "1000"}, Continue(1000, KNOWN, skip=400)),
    (RESUME_BY_DATE, 200, {"Last-Modified": LONG_AGO, "Content-Length": "1000"}, Continue(1000, DATED, skip=400)),
    (RESUME_BY_SIZE, 200, {"Content-Length": "1000"}, Fresh(1000, BY_SIZE)),
    (RESUME, 200, {"Content-Length": "1000"}, Fresh(1000, BY_SIZE)),
    (RESUME_OF_IMAGE, 200, {"Content-Type": "text/plain"}, Fresh(None, Validators(media_type="text/plain"))),
    (
        RESUME_OF_IMAGE,
        200,
        PROVEN | {"Content-Type": "text/html", "Content-Length": "1000"},
        Continue(1000, replace(KNOWN, media_type="text/html"), skip=400),
    ),
    (PIECE, 206, {"Content-Range": "bytes 400-499/1000"}, Continue(100, Validators(size=1000))),
    (PIECE, 206, {"Content-Range": "bytes 400-499/*"}, Continue(100, Validators())),
    (PIECE, 206, {"Content-Range": "bytes 400-400/1000"}, Continue(1, Validators(size=1000))),
    (Ask(URL, span=Span(0), is_piece=True), 200, {}, Continue(None, Validators())),
    (Ask(URL, span=Span(0, 9), is_piece=True), 200, {"Content-Length": "9"}, Continue(9, Validators(size=9))),
    (
        RESUME_OF_UNKNOWN_SIZE,
        416,
        {"Content-Range": "bytes */400", "ETag": '"v1"'},
        Complete(Validators('"v1"', None, 400)),
    ),
]


@pytest.mark.parametrize(("ask", "status", "fields", "verdict"), CONTINUES)
def test_a_reply_that_fits_is_continued_with(ask: Ask, status: int, fields: dict[str, str], verdict: Verdict) -> None:
    assert judge(ask, head(status, fields)) == verdict


RESTARTS = [
    (RESUME, 206, REST | {"Content-Range": "bytes 399-999/1000"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 0-999/1000"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 400-1000/1000"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 400-399/1000"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 400-1000/1001"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 400-999/*"}),
    (RESUME, 206, REST | {"Content-Range": "bytes four-999/1000"}),
    (RESUME, 206, REST | {"Content-Range": "lines 400-999/1000"}),
    (RESUME, 206, REST | {"Content-Range": "bytes 400-" + "9" * 30 + "/1000"}),
    (RESUME, 206, REST | {"Content-Length": "601"}),
    (RESUME, 206, PROVEN),
    (RESUME, 206, REST | {"Content-Type": "multipart/byteranges; boundary=x"}),
    (RESUME, 206, REST | {"ETag": '"v2"'}),
    (RESUME, 206, REST | {"ETag": 'W/"v1"'}),
    (RESUME, 206, REST | {"Last-Modified": "Thu, 02 Jan 2025 00:00:00 GMT"}),
    (RESUME, 206, {"Content-Range": REST["Content-Range"], "Last-Modified": PROVEN["Last-Modified"]}),
    (RESUME_BY_DATE, 206, {"Content-Range": REST["Content-Range"]}),
    (RESUME_BY_DATE, 206, {"Content-Range": REST["Content-Range"], "ETag": '"v1"'}),
    (RESUME, 416, {"Content-Range": "bytes */300"}),
    (RESUME, 416, {"Content-Range": "bytes */400", "ETag": '"v1"'}),
    (RESUME_OF_UNKNOWN_SIZE, 416, {"Content-Range": "bytes */400", "ETag": '"v2"'}),
    (RESUME_OF_UNKNOWN_SIZE, 416, {"Content-Range": "bytes */400"}),
    (RESUME_OF_UNKNOWN_SIZE, 416, {"Content-Range": "bytes */401", "ETag": '"v1"'}),
    (RESUME_BY_SIZE, 206, {"Content-Range": "bytes 400-999/1001"}),
    (RESUME_BY_SIZE, 206, {"Content-Range": "bytes 400-999/*"}),
    (RESUME_OF_PROMISED, 206, {"Content-Range": "bytes 400-999/1000", "Repr-Digest": f"sha-256=:{OTHER_SUM}:"}),
    (RESUME, 416, {}),
    (RESUME, 412, {}),
    (LATER_PIECE, 200, {"Content-Length": "1000", "ETag": '"v2"'}),
    (LATER_PIECE, 206, {"Content-Range": "bytes 400-499/1000", "ETag": '"v2"'}),
]


@pytest.mark.parametrize(("ask", "status", "fields"), RESTARTS)
def test_a_reply_of_another_version_or_place_restarts_the_file(ask: Ask, status: int, fields: dict[str, str]) -> None:
    assert isinstance(judge(ask, head(status, fields)), Restart)


REFUSED: list[tuple[Ask, int, dict[str, str], type[Exception]]] = [
    (START, 206, REST, BadReplyError),
    (START, 204, {}, BadReplyError),
    (START, 205, {}, BadReplyError),
    (RESUME, 304, {}, BadReplyError),
    (START, 200, {"Content-Encoding": "gzip"}, BadReplyError),
    (START, 200, {"Content-Length": "-5"}, GarbledReplyError),
    (START, 200, {"Content-Length": "5, 6"}, GarbledReplyError),
    (START, 200, {"Content-Length": "5 bytes"}, GarbledReplyError),
    (START, 200, {"Content-Length": "9" * 30}, GarbledReplyError),
    (RESUME_OF_IMAGE, 200, {"Content-Type": "text/html", "Content-Length": "77"}, LoginPageError),
    (replace(RESUME_OF_IMAGE, span=None), 200, {"Content-Type": "text/html; charset=utf-8"}, LoginPageError),
    (START, 226, {}, HttpStatusError),
    (START, 101, {}, HttpStatusError),
    (START, 302, {}, HttpStatusError),
    (RESUME, 206, REST | {"Content-Encoding": "br"}, BadReplyError),
    (START, 404, {}, HttpStatusError),
    (START, 412, {}, HttpStatusError),
    (START, 416, {}, HttpStatusError),
    (RESUME, 503, {}, HttpStatusError),
    (START, 203, {}, HttpStatusError),
    (PIECE, 200, {"Content-Length": "1000"}, RangeUnsupportedError),
    (LATER_PIECE, 200, {"Content-Length": "1000"} | PROVEN, RangeUnsupportedError),
    (PIECE, 416, {"Content-Range": "bytes */10"}, InvalidRangeError),
    (PIECE, 206, {"Content-Range": "bytes 400-500/1000"}, BadReplyError),
    (PIECE, 206, {"Content-Range": "bytes 0-99/1000"}, BadReplyError),
    (PIECE, 206, {}, BadReplyError),
]


@pytest.mark.parametrize(("ask", "status", "fields", "error"), REFUSED)
def test_a_reply_that_is_no_answer_is_an_error(
    ask: Ask, status: int, fields: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        judge(ask, head(status, fields))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("-5", None),
        ("soon", None),
        ("99999999999", None),
        ("9" * 5000, None),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_nonsense_is_nothing(text: str, seconds: int | None) -> None:
    assert parse_retry_after(Head(URL, 503, (("Retry-After", text),), received=1000.0)) == seconds


def test_a_retry_after_date_is_measured_by_the_servers_own_clock() -> None:
    fields = (("Date", "Sat, 01 Jan 2000 00:00:00 GMT"), ("Retry-After", "Sat, 01 Jan 2000 00:02:00 GMT"))
    assert parse_retry_after(Head(URL, 503, fields, received=2e9)) == 120


def test_a_status_error_carries_status_and_wait_but_no_secret_of_the_address() -> None:
    with pytest.raises(HttpStatusError) as caught:
        judge(Ask("http://me:secret@origin/file?token=secret"), head(503, {"Retry-After": "7"}))
    assert (caught.value.status, caught.value.retry_after) == (503, 7)
    assert "secret" not in str(caught.value)


def test_the_header_block_keeps_everything_but_cookies() -> None:
    kept = Head(URL, 200, (("ETag", '"v1"'), ("Set-Cookie", "session=secret")), "OK").block
    assert kept == 'HTTP/1.1 200 OK\r\nETag: "v1"\r\n'


def test_two_different_lengths_are_a_contradiction_in_separate_fields_too() -> None:
    with pytest.raises(GarbledReplyError):
        judge(START, head(200, [("Content-Length", "5"), ("content-length", "6")]))
    assert judge(START, head(200, [("Content-Length", "5"), ("content-length", "5")])) == Fresh(5, Validators(size=5))


@pytest.mark.parametrize(
    ("last_modified", "date", "is_weak"),
    [
        ("Wed, 01 Jan 2025 00:00:00 GMT", "Wed, 01 Jan 2025 00:00:01 GMT", False),
        ("Wed, 01 Jan 2025 00:00:00 GMT", "Wed, 01 Jan 2025 00:00:00 GMT", True),
        ("Wed, 01 Jan 2025 00:00:05 GMT", "Wed, 01 Jan 2025 00:00:00 GMT", True),
        ("yesterday", "Wed, 01 Jan 2025 00:00:00 GMT", True),
        ("Wed, 01 Jan 2025 00:00:00 GMT", None, False),
        ("Thu, 01 Jan 2026 00:00:00 GMT", None, True),
    ],
)
def test_a_date_of_the_same_second_as_the_reply_proves_nothing(
    last_modified: str, date: str | None, is_weak: bool
) -> None:
    fields = {"Last-Modified": last_modified} | ({"Date": date} if date else {})
    verdict = judge(START, head(200, fields))
    assert isinstance(verdict, Fresh)
    assert verdict.validators.is_date_weak is is_weak
    assert verdict.validators.strong == (None if is_weak else last_modified)
