"""What a job may ask for besides a file: ranges, a size limit, a method, dynamic content."""

from typing import Any

from tests.faults.fault import CUT, CUT_AT, SIZE, Fails, Fault, Identical

RANGES: dict[str, Any] = {
    "ranges": [
        {"offset": 60_000, "length": 30_000},
        {"offset": 0, "length": 10},
        {"offset": SIZE - 500, "length": None},
    ]
}
OUTSIDE = Fails("BG_E_INVALID_RANGE")
UNSUPPORTED = Fails("BG_E_INSUFFICIENT_RANGE_SUPPORT")
BAD_REPLY = Fails("BG_E_INVALID_SERVER_RESPONSE")
TOO_LARGE = Fails("BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED")
LIMIT = {"maximum_download_size": SIZE // 2}

FAULTS = {
    "ranges": Fault("three ranges", Identical(), file=RANGES),
    "ranges-cut": Fault("the first range breaks off", Identical(), {"drop_after": 10_000}, file=RANGES),
    "ranges-stall": Fault("the first range falls silent", Identical(), {"stall_after": 10_000}, file=RANGES),
    "ranges-unproven": Fault(
        "ranges without validators",
        Identical(),
        {"etag": None, "last_modified": None, "drop_after": 10_000},
        file=RANGES,
    ),
    "ranges-unsupported": Fault("the whole file for a range", UNSUPPORTED, {"no_range": True}, file=RANGES),
    "ranges-unsupported-whole": Fault(
        "the whole file for a range that is the whole file",
        Identical(),
        {"no_range": True},
        file={"ranges": [{"offset": 0, "length": SIZE}]},
    ),
    "ranges-outside": Fault("a range past the end", OUTSIDE, file={"ranges": [{"offset": SIZE, "length": 1}]}),
    "ranges-over-the-end": Fault(
        "a range over the end", OUTSIDE, file={"ranges": [{"offset": SIZE - 10, "length": 11}]}
    ),
    "ranges-416": Fault("416 to a range", OUTSIDE, {"range_status": 416}, file=RANGES),
    "ranges-shifted": Fault("another range than asked for", BAD_REPLY, {"range_shift": 5}, file=RANGES),
    "ranges-mute": Fault("a range without Content-Range", BAD_REPLY, {"content_range": ""}, file=RANGES),
    "ranges-multipart": Fault("one range as multipart", BAD_REPLY, {"multipart": True}, file=RANGES),
    "ranges-in-bits": Fault("a range in small parts", Identical(), {"range_limit": 9000}, file=RANGES),
    "too-large": Fault("larger than the limit", TOO_LARGE, job=LIMIT),
    "too-large-chunked": Fault("larger than the limit, which shows late", TOO_LARGE, {"framing": "chunked"}, job=LIMIT),
    "too-large-close": Fault("the same, ends with the connection", TOO_LARGE, {"framing": "close"}, job=LIMIT),
    "dynamic": Fault("dynamic content", Identical(), {"etag": None}, job={"dynamic_content": True}),
    "dynamic-cut": Fault(
        "dynamic content breaks off and is another then",
        Identical(),
        CUT | {"change_after": 1},
        job={"dynamic_content": True},
    ),
    "dynamic-stall": Fault(
        "dynamic content falls silent and is another then",
        Identical(),
        {"stall_after": CUT_AT, "change_after": 1, "change_keeps_validators": True},
        job={"dynamic_content": True},
    ),
    "method-post": Fault("POST", Identical(), job={"http_method": "POST"}),
    "method-post-busy": Fault(
        "POST is never tried again", Fails("BG_E_HTTP_ERROR_503"), {"statuses": [503]}, job={"http_method": "POST"}
    ),
    "method-post-cut": Fault("POST breaks off", Fails("BG_E_CONNECTION_CLOSED"), CUT, job={"http_method": "POST"}),
    "method-post-303": Fault(
        "POST is led on by 303",
        Identical(),
        {"redirect": "{good}{path}-there", "redirect_status": 303},
        {"there": {}},
        job={"http_method": "POST"},
    ),
}
