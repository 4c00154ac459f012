"""Bodies that break off, stall or end in the wrong place, and what proof there is for going on."""

from typing import Any

from tests.faults.fault import CUT, CUT_AT, SIZE, Fault, Identical, Retries

CLOSED = Retries("BG_E_CONNECTION_CLOSED")
TIMEOUT = Retries("ERROR_WINHTTP_TIMEOUT")
DATED = {"etag": None}
UNPROVEN: dict[str, Any] = {"etag": None, "last_modified": None}

FAULTS = {
    "cut-once": Fault("closes in the middle, once", Identical(), CUT),
    "reset-once": Fault("resets in the middle, once", Identical(), CUT | {"drop_by": "reset"}),
    "cut-in-first-byte": Fault("closes after one byte", Identical(), {"drop_after": 1}),
    "cut-before-last-byte": Fault("closes before the last byte", Identical(), {"drop_after": SIZE - 1}),
    "cut-three-times": Fault("closes three times", Identical(), {"drop_after": 20_000, "drop_times": 3}),
    "cut-always": Fault("closes after every 10 kB", Identical(), {"drop_after": 10_000, "drop_times": -1}),
    "cut-always-at-once": Fault("closes after every head", CLOSED, {"drop_after": 0, "drop_times": -1}),
    "reset-always-at-once": Fault(
        "resets after every head", CLOSED, {"drop_after": 0, "drop_times": -1, "drop_by": "reset"}
    ),
    "cut-date-only": Fault("closes; a strong Last-Modified", Identical(), CUT | DATED),
    "cut-date-weak": Fault("closes; Last-Modified is Date", Identical(), CUT | DATED | {"last_modified": "now"}),
    "cut-date-no-clock": Fault("closes; Last-Modified without Date", Identical(), CUT | DATED | {"date": None}),
    "cut-date-nonsense": Fault(
        "closes; a Last-Modified that is no date", Identical(), CUT | DATED | {"last_modified": "yesterday"}
    ),
    "cut-etag-weak": Fault("closes; a weak ETag", Identical(), CUT | {"etag": 'W/"v1"', "last_modified": None}),
    "cut-unproven": Fault("closes; no validators", Identical(), CUT | UNPROVEN),
    "cut-unproven-with-digest": Fault(
        "closes; no validators, a digest is given",
        Identical(),
        CUT | UNPROVEN,
        file={"digest": {"sha-256": "{sha256}"}},
    ),
    "cut-unproven-allowed": Fault(
        "closes; no validators, the owner allows it", Identical(), CUT | UNPROVEN, file={"resume_unvalidated": True}
    ),
    "cut-always-unproven": Fault(
        "closes at the same place for ever; no validators",
        CLOSED,
        UNPROVEN | {"drop_after": CUT_AT, "drop_times": -1},
    ),
    "cut-no-ranges": Fault("closes; a server without ranges", Identical(), CUT | {"no_range": True}),
    "cut-no-ranges-unproven": Fault(
        "closes; no ranges, no validators", Identical(), CUT | UNPROVEN | {"no_range": True}
    ),
    "cut-chunked": Fault("closes between chunks", Identical(), CUT | {"framing": "chunked"}),
    "cut-chunked-unproven": Fault(
        "closes between chunks; no validators", Identical(), CUT | UNPROVEN | {"framing": "chunked"}
    ),
    "cut-http10": Fault("closes; HTTP/1.0 with a length", Identical(), CUT | {"http10": True}),
    "reset-close-delimited": Fault(
        "resets a body that ends with the connection", Identical(), CUT | {"framing": "close", "drop_by": "reset"}
    ),
    "cut-close-delimited": Fault(
        "closes a body that ends with the connection; its size is known",
        Identical(),
        CUT | {"framing": "close"},
        file={"expected_size": SIZE},
    ),
    "truncate-close-delimited": Fault(
        "TLS breaks off in a body that ends with the connection",
        Identical(),
        CUT | {"framing": "close", "drop_by": "truncate"},
        only="https",
    ),
    "truncate": Fault("TLS breaks off in a body", Identical(), CUT | {"drop_by": "truncate"}, only="https"),
    "truncate-chunked": Fault(
        "TLS breaks off between chunks", Identical(), CUT | {"framing": "chunked", "drop_by": "truncate"}, only="https"
    ),
    "short": Fault("the last kB never comes", CLOSED, {"short_by": 1000}),
    "bad-chunk": Fault(
        "a chunk size that is none, once", Identical(), {"framing": "chunked", "bad_chunk_after": CUT_AT}
    ),
    "bad-chunk-at-once": Fault(
        "no chunk at all",
        Retries("ERROR_WINHTTP_INVALID_SERVER_RESPONSE", other="BG_E_CONNECTION_CLOSED"),
        {"framing": "chunked", "bad_chunk_after": 0, "bad_chunk_times": -1},
    ),
    "stall-once": Fault("falls silent in the middle", Identical(), {"stall_after": CUT_AT}),
    "stall-unproven": Fault("falls silent; no validators", Identical(), UNPROVEN | {"stall_after": CUT_AT}),
    "stall-always": Fault("falls silent after every head", TIMEOUT, {"stall_after": 0, "stall_times": -1}),
    "stall-before-end": Fault(
        "the last chunk never ends the body", Identical(), {"framing": "chunked", "stall_after": SIZE}
    ),
}
