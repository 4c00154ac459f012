"""What a server may answer to the rest of a file: every reply but the right one must not get into the file."""

from typing import Any

from tests.faults.fault import CUT, CUT_AT, SIZE, Fails, Fault, Identical, Retries

LAST = SIZE - 1
PART = f"bytes {CUT_AT}-{LAST}/{SIZE}"
CONTENT_RANGES = {
    "missing": "",
    "nonsense": "nonsense",
    "no-total": f"bytes {CUT_AT}-{LAST}/*",
    "another-total": f"bytes {CUT_AT}-{LAST}/{SIZE + 1}",
    "another-start": f"bytes {CUT_AT + 1}-{SIZE}/{SIZE + 1}",
    "from-zero": f"bytes 0-{LAST}/{SIZE}",
    "early-end": f"bytes {CUT_AT}-{LAST - 10}/{SIZE}",
    "late-end": f"bytes {CUT_AT}-{SIZE}/{SIZE}",
    "backwards": f"bytes {LAST}-{CUT_AT}/{SIZE}",
    "negative": f"bytes -{CUT_AT}-{LAST}/{SIZE}",
    "unsatisfied": f"bytes */{SIZE}",
    "another-unit": f"items {CUT_AT}-{LAST}/{SIZE}",
    "equals-sign": f"bytes={CUT_AT}-{LAST}/{SIZE}",
    "enormous": f"bytes {CUT_AT}-{'9' * 40}/{'9' * 41}",
}
APART = "{other}{path}"
"""On connections of its own: surplus of another fault must not cost the first reply, by which the type is known."""
UNPROVEN = {"etag": None, "last_modified": None}
IGNORANT: dict[str, Any] = CUT | {"ignore_if_range": True}


def _part(about: str, **fields: str) -> Fault:
    """A 206 for the right bytes whose head has something else than the first reply had."""
    names = {name.replace("_", "-").title(): value for name, value in fields.items()}
    return Fault(f"the rest comes with {about}", Identical(), IGNORANT | {"part_headers": names})


FAULTS = {
    f"content-range-{name}": Fault(
        f"the rest comes with Content-Range: {text:.50}", Identical(), CUT | {"content_range": text}
    )
    for name, text in CONTENT_RANGES.items()
}
FAULTS |= {
    "content-range-in-capitals": Fault(
        "the unit in capitals", Identical(), CUT | {"content_range": PART.replace("bytes", "BYTES")}
    ),
    "content-range-twice": Fault(
        "the rest comes with two Content-Range fields",
        Identical(),
        CUT | {"more_fields": (("Content-Range", f"bytes 0-{LAST}/{SIZE}"),)},
    ),
    "part-too-early": Fault("the rest begins too early, and says so", Identical(), CUT | {"range_shift": -7}),
    "part-too-late": Fault("the rest begins too late, and says so", Identical(), CUT | {"range_shift": 7}),
    "part-too-little": Fault("the rest comes in small parts", Identical(), CUT | {"range_limit": 7000}),
    "part-multipart": Fault("the rest comes as multipart/byteranges", Identical(), CUT | {"multipart": True}),
    "part-length-contradicts": _part("a Content-Length of another part", content_length="10"),
    "part-other-etag": _part("another ETag", etag='"v2"'),
    "part-weak-etag": _part("a weak ETag", etag='W/"v1"'),
    "part-no-etag": _part("no ETag any more", etag=""),
    "part-other-date": _part("another Last-Modified", last_modified="Thu, 02 Jan 2025 00:00:00 GMT"),
    "part-no-date": _part("no Last-Modified, the same ETag", last_modified=""),
    "part-no-validators": _part("no validators any more", etag="", last_modified=""),
    "part-encoded": Fault(
        "the rest comes compressed",
        Fails("BG_E_INVALID_SERVER_RESPONSE"),
        CUT | {"part_headers": {"Content-Encoding": "gzip"}},
    ),
    "part-always-wrong": Fault(
        "never gives a rest that fits, and always breaks off",
        Retries("BG_E_REMOTE_FILE_CHANGED", other="BG_E_CONNECTION_CLOSED"),  # which one is a matter of where it began
        {"drop_after": CUT_AT, "drop_times": -1, "content_range": "nonsense"},
    ),
    "rest-ignored": Fault("the whole file for a Range, same ETag", Identical(), CUT | {"no_range": True}),
    "rest-ignored-unproven": Fault(
        "the whole file for a Range, no validators", Identical(), CUT | UNPROVEN | {"no_range": True}
    ),
    "rest-416": Fault("416 for the rest, the size is as before", Identical(), CUT | {"range_status": 416}),
    "rest-416-complete": Fault(
        "416 because everything is there", Identical(), {"framing": "chunked", "drop_after": SIZE}
    ),
    "rest-416-complete-unproven": Fault(
        "416 because everything is there; no validators",
        Identical(),
        UNPROVEN | {"framing": "chunked", "drop_after": SIZE},
    ),
    "rest-416-lies": Fault(
        "416 and the size is what we have, though it was more",
        Identical(),
        CUT | {"range_status": 416, "content_range": f"bytes */{CUT_AT}"},
    ),
    "rest-416-lies-chunked": Fault(
        "416 and the size is less than we have",
        Identical(),
        CUT | {"framing": "chunked", "range_status": 416, "content_range": "bytes */5"},
    ),
    "rest-416-mute": Fault("416 without a size", Identical(), CUT | {"range_status": 416, "content_range": ""}),
    "rest-412": Fault("412 for the rest", Identical(), CUT | {"range_status": 412}),
    "rest-304": Fault("304 for the rest", Fails("BG_E_INVALID_SERVER_RESPONSE"), CUT | {"range_status": 304}),
    "rest-204": Fault("204 for the rest", Fails("BG_E_INVALID_SERVER_RESPONSE"), CUT | {"range_status": 204}),
    "rest-404": Fault("404 for the rest", Fails("BG_E_HTTP_ERROR_404"), CUT | {"range_status": 404}),
    "rest-503": Fault("503 for the rest, always", Retries("BG_E_HTTP_ERROR_503"), CUT | {"range_status": 503}),
    "unasked-part": Fault(
        "206 for the whole file, and it is the first half",
        Fails("BG_E_INVALID_SERVER_RESPONSE"),
        {"unasked_part": SIZE // 2},
    ),
    "unasked-whole-part": Fault(
        "206 for the whole file, and it is all of it", Fails("BG_E_INVALID_SERVER_RESPONSE"), {"unasked_part": SIZE}
    ),
    "portal": Fault(
        "a login page for the rest, for a while",
        Identical(),
        CUT | {"headers": {"Content-Type": "application/zip"}, "portal_after": 1},
        remote=APART,
        file={"expected_size": SIZE},
    ),
    "portal-for-ever": Fault(
        "a login page for the rest, for ever",
        Retries("BG_E_INVALID_SERVER_RESPONSE"),
        CUT | {"headers": {"Content-Type": "application/zip"}, "portal_after": 1, "portal_times": -1},
        remote=APART,
    ),
    "portal-redirect": Fault(
        "led to a login page for the rest, for a while",
        Identical(),
        CUT
        | {"headers": {"Content-Type": "application/zip"}, "portal_after": 1, "portal_redirect": "{good}{path}-login"},
        {"login": {"body": b"<html>log in</html>", "headers": {"Content-Type": "text/html"}, "etag": None}},
        remote=APART,
        file={"expected_size": SIZE},
    ),
    "portal-unknown-type": Fault(
        "a login page for the rest, the file had no type; its size is known",
        Identical(),
        CUT | {"portal_after": 1},
        remote=APART,
        file={"expected_size": SIZE},
    ),
    "portal-first": Fault(
        "a login page instead of the file, whose size is known",
        Identical(),
        {"portal_after": 0},
        remote=APART,
        file={"expected_size": SIZE},
    ),
}
