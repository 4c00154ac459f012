"""Heads that are broken, too big, too slow or never come."""

from typing import Any

from tests.faults.fault import SIZE, Fails, Fault, Identical, Retries

GARBLED = Retries("ERROR_WINHTTP_INVALID_SERVER_RESPONSE")
CLOSED = Retries("BG_E_CONNECTION_CLOSED")
TIMEOUT = Retries("ERROR_WINHTTP_TIMEOUT")
REFUSED = Retries("BG_E_CONNECT_FAILURE")
BAD_GATEWAY = Retries("BG_E_HTTP_ERROR_502")
HEAD = b"HTTP/1.1 200 OK\r\n"


def _length(text: str, *more: str) -> dict[str, Any]:
    return {"headers": {"Content-Length": text}, "more_fields": tuple(("Content-Length", value) for value in more)}


FAULTS = {
    "garbage-binary": Fault("bytes that mean nothing", GARBLED, {"garbage_head": b"\x00\x01\x02 what is this\r\n\r\n"}),
    "garbage-once": Fault("nonsense once", Identical(), {"garbage_head": b"nonsense\r\n\r\n", "garbage_times": 1}),
    "garbage-ssh": Fault("another protocol", GARBLED, {"garbage_head": b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"}),
    "garbage-html": Fault("a page without a head", GARBLED, {"garbage_head": b"<html>Not today</html>\r\n\r\n"}),
    "garbage-status": Fault(
        "a status that is no number", GARBLED, {"garbage_head": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"}
    ),
    "garbage-version": Fault(
        "a version that is none", GARBLED, {"garbage_head": b"HTTP/x.1 200 OK\r\nContent-Length: 0\r\n\r\n"}
    ),
    "garbage-no-colon": Fault(
        "a field without a colon", GARBLED, {"garbage_head": HEAD + b"no colon here\r\nContent-Length: 0\r\n\r\n"}
    ),
    "garbage-nul": Fault(
        "NUL in a field", GARBLED, {"garbage_head": HEAD + b"X-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n"}
    ),
    "garbage-name": Fault(
        "a field name with a space", GARBLED, {"garbage_head": HEAD + b"Bad Name: a\r\nContent-Length: 0\r\n\r\n"}
    ),
    "huge-line": Fault("a field of 200 kB", GARBLED, {"filler_line": 200_000}),
    "huge-head": Fault("fields of 2 MB", GARBLED, {"filler_fields": 2_000_000}),
    "huge-status-line": Fault("a status line of 100 kB", GARBLED, {"garbage_head": b"HTTP/1.1 200 " + b"O" * 100_000}),
    "length-contradicts": Fault("Content-Length twice, not the same", GARBLED, _length("{length}", "5")),
    "length-contradicts-itself": Fault("Content-Length as a list of two", GARBLED, _length("{length}, 5")),
    "length-negative": Fault("a negative Content-Length", GARBLED, _length("-5")),
    "length-plus": Fault("Content-Length with a sign", GARBLED, _length("+{length}")),
    "length-words": Fault("Content-Length is no number", GARBLED, _length("a lot")),
    "length-hex": Fault("Content-Length in hexadecimal", GARBLED, _length("0x186a0")),
    "length-absurd": Fault("Content-Length of thirty digits", GARBLED, _length("9" * 30)),
    "close-before-head": Fault("closes instead of an answer", CLOSED, {"drop_after": -1, "drop_times": -1}),
    "close-before-head-once": Fault("closes once instead of an answer", Identical(), {"drop_after": -1}),
    "reset-before-head": Fault(
        "resets instead of an answer", CLOSED, {"drop_after": -1, "drop_times": -1, "drop_by": "reset"}
    ),
    "close-in-head": Fault("closes in the middle of the head", CLOSED, {"garbage_head": HEAD + b"Content-Le"}),
    "close-after-interim": Fault(
        "100 Continue, and nothing more", CLOSED, {"garbage_head": b"HTTP/1.1 100 Go\r\n\r\n"}
    ),
    "silence": Fault("takes the request and says nothing", TIMEOUT, {"stall_after": -1, "stall_times": -1}),
    "silence-once": Fault("says nothing once", Identical(), {"stall_after": -1}),
    "slow-loris": Fault("a head of a few bytes a second", TIMEOUT, {"head_rate": 8}),
    "drowsy-head": Fault("a head that takes a second", Identical(), {"head_rate": 300}),
    "refused": Fault("nobody listens", REFUSED, remote="{dead}{path}", by_proxy=BAD_GATEWAY),
    "unreachable": Fault(
        "no answer to the wish for a connection",
        REFUSED,
        remote="{unreachable}{path}",
        by_proxy=Retries("ERROR_WINHTTP_TIMEOUT", other="BG_E_CONNECT_FAILURE"),
    ),
    "unknown-name": Fault(
        "a host that does not exist",
        Retries("ERROR_WINHTTP_NAME_NOT_RESOLVED"),
        remote="{nowhere}{path}",
        by_proxy=BAD_GATEWAY,
    ),
    "closes-at-once": Fault("accepts and closes", CLOSED, remote="{closing}{path}"),
    "accepts-and-is-silent": Fault("accepts and never says a word", TIMEOUT, remote="{silent}{path}", only="http"),
    "gzip": Fault("compressed although nobody asked", Fails("BG_E_INVALID_SERVER_RESPONSE"), {"gzip": True}),
    "gzip-says-only": Fault(
        "says compressed and is not",
        Fails("BG_E_INVALID_SERVER_RESPONSE"),
        {"headers": {"Content-Encoding": "gzip"}},
    ),
    "gzip-among-others": Fault(
        "identity and then compressed",
        Fails("BG_E_INVALID_SERVER_RESPONSE"),
        {"headers": {"Content-Encoding": "identity, br"}},
    ),
    "unknown-encoding": Fault(
        "an encoding nobody knows", Fails("BG_E_INVALID_SERVER_RESPONSE"), {"headers": {"Content-Encoding": "x-mine"}}
    ),
    "longer-than-said": Fault("more bytes than Content-Length", Identical(), {"extra": b"surplus" * 100}),
    "chunked-longer-than-said": Fault(
        "chunks bring more than Content-Length says",
        Fails("BG_E_INVALID_SERVER_RESPONSE"),
        {"framing": "chunked", "headers": {"Content-Length": str(SIZE // 2)}},
    ),
    "chunked-shorter-than-said": Fault(
        "chunks bring less than Content-Length says, and there is no rest",
        Retries("BG_E_CONNECTION_CLOSED", other="BG_E_REMOTE_FILE_CHANGED"),
        {"framing": "chunked", "headers": {"Content-Length": str(SIZE * 2)}},
    ),
}
