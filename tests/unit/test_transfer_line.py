"""Heads before the parser, and where a reply ends: pure, and with a transport and a parser that only remember."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import BadReplyError, GarbledReplyError
from transfer.head import LARGEST, require_sound
from transfer.line import CHUNKS, LAST_CHUNK, Framing, Line, framing
from transfer.source import Head

OK = b"HTTP/1.1 200 OK\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


class Parser(asyncio.Protocol):
    def __init__(self) -> None:
        self.seen = b""
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.seen += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


class Wire(asyncio.Transport):
    is_closed = False
    is_paused = False
    """Bytes may come all the same: a line must stand that."""

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Body:
    def __init__(self) -> None:
        self.seen = b""
        self.broken: list[Exception | None] = []

    def feed(self, data: bytes) -> None:
        self.seen += data

    def lose(self, reason: Exception | None) -> None:
        self.broken.append(reason)


def line() -> tuple[Line, Parser, Wire]:
    parser, wire = Parser(), Wire()
    found = Line(parser, wire)
    found.expect("GET")
    return found, parser, wire


def fed(line: Line, reply: bytes, cuts: list[int], flow_after: int = 0) -> Body:
    """In pieces; a held body flows after so many of them, or at last."""
    places, body = sorted({0, len(reply), *(cut % len(reply) for cut in cuts)}), Body()
    for number, (start, end) in enumerate(pairwise(places)):
        line.data_received(reply[start:end])
        if line.is_holding and number >= flow_after:
            line.flow(body)
    if line.is_holding:
        line.flow(body)
    return body


@pytest.mark.parametrize(
    ("fields", "length", "hidden"),
    [
        (b"", None, None),
        (b"Content-Length: 5\r\n", 5, None),
        (b"X: y\r\ncontent-length:5\r\nCONTENT-LENGTH: 5 \r\nZ: y\r\n", 5, None),
        (b"Content-Length: 5,5\r\n", 5, None),
        (b"Transfer-Encoding: chunked\r\n", None, None),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None, "5"),
        (b"Content-Length: 5\r\nContent-Length: 5\r\ntransfer-encoding : chunked\r\n", None, "5"),
    ],
)
def test_the_parser_sees_one_length_or_chunks(fields: bytes, length: int | None, hidden: str | None) -> None:
    found = framing(OK + fields + b"\r\n", "GET")
    assert (found.length, found.hidden) == (length, hidden)
    expected = 0 if length is None else 1
    assert found.head.lower().count(b"content-length") == expected
    others = [part for part in fields.split(b"\r\n") if not part.lower().startswith(b"content-length")]
    assert [part for part in found.head.split(b"\r\n")[1:] if not part.startswith(b"Content-Length")] == [*others, b""]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 5\r\nContent-Length: five\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 5\r\n 6\r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
    ],
)
def test_what_contradicts_itself_is_left_as_it_is(fields: bytes) -> None:
    head = OK + fields + b"\r\n"
    assert framing(head, "GET") == Framing(head)


@pytest.mark.parametrize(
    ("head", "method"), [(OK, "HEAD"), (b"HTTP/1.1 204 No\r\n", "GET"), (b"HTTP/1.0 304 No\r\n", "GET")]
)
def test_some_replies_have_no_body_whatever_they_say(head: bytes, method: str) -> None:
    assert framing(head + b"Content-Length: 5\r\n\r\n", method).length == 0


@given(
    st.integers(0, 3),
    st.sampled_from([b"Content-Length: 5\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n", b""]),
    st.binary(max_size=20),
    st.lists(st.integers(min_value=0), max_size=10),
    st.integers(0, 10),
)
def test_any_cutting_gives_the_same(
    hints: int, fields: bytes, surplus: bytes, cuts: list[int], flow_after: int
) -> None:
    found, parser, wire = line()
    body = fed(found, HINT * hints + OK + fields + b"\r\nhello" + surplus, cuts, flow_after)
    head = HINT * hints + OK
    if body.seen:
        assert body.seen == b"hello"
        assert parser.seen == head + CHUNKS + b"\r\n" + LAST_CHUNK
        assert not wire.is_paused
    else:
        single = b"Content-Length: 5\r\n" if fields else b""
        assert parser.seen == head + single + b"\r\nhello" + (b"" if fields else surplus)
    assert wire.is_closed is bool(fields and surplus)


def test_a_body_that_is_not_here_with_its_head_does_not_meet_the_parser() -> None:
    found, parser, wire = line()
    found.data_received(OK + b"Content-Length: 5\r\n\r\nhe")
    assert (found.is_holding, wire.is_paused) == (True, True)
    body = Body()
    found.flow(body)
    found.data_received(b"ll")
    assert (body.seen, parser.seen) == (b"hell", OK + CHUNKS + b"\r\n")
    found.connection_lost(error := ConnectionResetError())
    assert (body.broken, parser.is_lost) == ([error], True)


def test_a_connection_that_went_away_while_its_body_was_held_says_so() -> None:
    found, _, _ = line()
    found.data_received(OK + b"Content-Length: 5\r\n\r\nhe")
    found.connection_lost(None)
    found.flow(body := Body())
    assert (body.seen, body.broken) == (b"he", [None])


def test_a_body_is_taken_once_and_nobody_else_reads_the_connection_then() -> None:
    found, _, wire = line()
    found.data_received(OK + b"Content-Length: 5\r\n\r\nhe")
    assert found.may_take
    assert found.take() == (b"he", 5)
    assert (found.may_take, wire.is_closed) == (False, True)


def test_a_body_is_held_although_somebody_else_resumes_the_connection() -> None:
    found, _, wire = line()
    found.data_received(OK + b"Content-Length: 5\r\n\r\nh")
    wire.resume_reading()
    found.data_received(b"e")
    assert wire.is_paused
    assert found.take() == (b"he", 5)


def test_a_body_with_too_many_bytes_is_not_taken() -> None:
    found, _, wire = line()
    found.data_received(OK + b"Content-Length: 5\r\n\r\nhe")
    found.data_received(b"lloh")
    assert not found.may_take
    found.flow(body := Body())
    assert (body.seen, wire.is_closed) == (b"hello", True)


def test_a_reply_of_http_1_0_has_no_chunks() -> None:
    found, parser, _ = line()
    found.data_received(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    assert not found.is_holding
    assert parser.seen.endswith(b"he")


@given(st.binary(min_size=1, max_size=100), st.lists(st.integers(min_value=0), max_size=5))
def test_whatever_comes_reaches_the_parser_at_the_latest_when_it_ends(data: bytes, cuts: list[int]) -> None:
    found, parser, _ = line()
    fed(found, data, cuts)
    found.connection_lost(None)
    assert parser.seen == data
    assert parser.is_lost


def test_an_endless_head_is_not_kept() -> None:
    found, parser, _ = line()
    found.data_received(OK)
    for _ in range(100):
        found.data_received(b"X: y\r\n" * 1000)
    assert len(parser.seen) + 2 * LARGEST > 100 * 6000


def test_the_next_reply_on_a_connection_is_a_new_one() -> None:
    found, parser, wire = line()
    for _ in range(2):
        found.expect("GET")
        found.data_received(OK + b"Content-Length: 2\r\n\r\nab")
    assert parser.seen == (OK + b"Content-Length: 2\r\n\r\nab") * 2
    found.data_received(b"?")
    assert wire.is_closed


@pytest.mark.parametrize(("reason", "is_cut"), [(None, False), (ConnectionResetError(), True)])
def test_only_a_proper_end_ends_a_body_without_a_length(reason: Exception | None, is_cut: bool) -> None:
    found, _, _ = line()
    told: list[bool] = []
    assert found.is_cut
    found.tell(lambda: told.append(True))
    found.connection_lost(reason)
    assert found.is_cut is is_cut
    assert told == [True]


@pytest.mark.parametrize(
    ("status", "version", "fields", "error"),
    [
        (200, (2, 0), (), GarbledReplyError),
        (99, (1, 1), (), GarbledReplyError),
        (200, (1, 1), (("X\x01", "y"),), GarbledReplyError),
        (200, (1, 1), (("", "y"),), GarbledReplyError),
        (200, (1, 1), (("X", "a\x7fb"),), GarbledReplyError),
        (200, (1, 1), (("X", "y" * LARGEST),), GarbledReplyError),
        (200, (1, 1), (("Transfer-Encoding", "gzip"),), BadReplyError),
        (200, (1, 1), (("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")), BadReplyError),
        (200, (1, 1), (("X", "a\tb\xe4"), ("transfer-encoding", "Chunked")), None),
    ],
)
def test_a_head_is_sound_or_refused(
    status: int, version: tuple[int, int], fields: tuple[tuple[str, str], ...], error: type[Exception] | None
) -> None:
    head = Head("http://a/f?token=secret", status, fields)
    if error is None:
        require_sound(head, version)
        return
    with pytest.raises(error) as caught:
        require_sound(head, version)
    assert "secret" not in str(caught.value)
