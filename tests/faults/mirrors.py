"""More than one place for a file: which failures lead on, and when bytes of two places may meet in one file."""

from typing import Any

from tests.faults.fault import CUT, CUT_AT, SIZE, Fails, Fault, Identical, Retries
from tests.origin_auth import Auth

MIRROR = {"mirrors": ["{other}{path}-mirror"]}
SAME: dict[str, dict[str, Any]] = {"mirror": {}}
OTHER: dict[str, dict[str, Any]] = {"mirror": {"seed": 77, "etag": '"another"'}}
LOST: dict[str, Any] = CUT | {"gone_after": 1}
"""The first part comes, the rest is gone."""
RIGHT = {"digest": {"sha-256": "{sha256}"}}
WRONG_BYTES = {"seed": 99, "etag": '"wrong"'}

FAULTS = {
    "mirror-unneeded": Fault(
        "the first place is fine", Identical(), {}, {"mirror": {"statuses": [404] * 9}}, file=MIRROR
    ),
    "mirror-for-404": Fault("not found in the first place", Identical(), {"statuses": [404] * 9}, SAME, file=MIRROR),
    "mirror-for-500": Fault("broken in the first place", Identical(), {"statuses": [500] * 9}, SAME, file=MIRROR),
    "mirror-for-401": Fault("a password in the first place", Identical(), {"auth": Auth()}, SAME, file=MIRROR),
    "mirror-for-refused": Fault(
        "nobody listens in the first place", Identical(), {}, SAME, remote="{dead}{path}", file=MIRROR
    ),
    "mirror-for-no-name": Fault(
        "the first host does not exist", Identical(), {}, SAME, remote="{nowhere}{path}", file=MIRROR
    ),
    "mirror-for-silence": Fault(
        "silence in the first place", Identical(), {"stall_after": -1, "stall_times": -1}, SAME, file=MIRROR
    ),
    "mirror-for-garbage": Fault(
        "garbage in the first place", Identical(), {"garbage_head": b"nonsense\r\n\r\n"}, SAME, file=MIRROR
    ),
    "mirror-for-tls": Fault(
        "a bad certificate in the first place", Identical(), {}, SAME, remote="{tls-expired}{path}", file=MIRROR
    ),
    "mirror-for-redirect": Fault(
        "a redirect to nowhere in the first place", Identical(), {"redirect": "ftp://a/b"}, SAME, file=MIRROR
    ),
    "mirror-for-encoding": Fault("compressed in the first place", Identical(), {"gzip": True}, SAME, file=MIRROR),
    "mirror-for-short": Fault(
        "breaks off at once in the first place", Identical(), {"drop_after": 0, "drop_times": -1}, SAME, file=MIRROR
    ),
    "mirror-third": Fault(
        "the third of three is fine",
        Identical(),
        {"statuses": [503] * 9},
        {"one": {"statuses": [410] * 9}, "two": {}},
        file={"mirrors": ["{good}{path}-one", "{other}{path}-two"]},
    ),
    "mirror-wrong-size": Fault(
        "the first place has another size than expected",
        Identical(),
        WRONG_BYTES | {"size": SIZE + 1},
        SAME,
        meant="mirror",
        file=MIRROR | {"expected_size": SIZE},
    ),
    "mirror-wrong-digest": Fault(
        "the first place has other bytes than expected",
        Identical(),
        WRONG_BYTES,
        SAME,
        meant="mirror",
        file=MIRROR | RIGHT,
    ),
    "mirror-wrong-served-digest": Fault(
        "the first place has other bytes than it says itself",
        Identical(),
        WRONG_BYTES | {"digests": ("Repr-Digest",), "digest_lies": -1},
        SAME,
        meant="mirror",
        file=MIRROR,
    ),
    "mirror-all-wrong": Fault(
        "other bytes than expected everywhere",
        Fails("BG_E_VALIDATION_FAILED"),
        WRONG_BYTES,
        {"mirror": WRONG_BYTES, "right": {}},
        meant="right",
        file=MIRROR | RIGHT,
    ),
    "mirror-continues": Fault("goes on in the second place, same ETag and size", Identical(), LOST, SAME, file=MIRROR),
    "mirror-continues-date": Fault(
        "goes on in the second place, same date and size",
        Identical(),
        LOST | {"etag": None},
        {"mirror": {"etag": None}},
        file=MIRROR,
    ),
    "mirror-continues-digest": Fault(
        "goes on in the second place by the digest",
        Identical(),
        LOST,
        {"mirror": {"etag": '"other"'}},
        file=MIRROR | RIGHT,
    ),
    "mirror-other-file": Fault(
        "another file of the same size in the second place", Identical(), LOST, OTHER, meant="mirror", file=MIRROR
    ),
    "mirror-other-file-blind": Fault(
        "another file in the second place, which ignores If-Range",
        Identical(),
        LOST,
        {"mirror": {"seed": 78, "etag": '"another"', "ignore_if_range": True}},
        meant="mirror",
        file=MIRROR,
    ),
    "mirror-other-file-unproven": Fault(
        "another file in the second place, no validators in either",
        Identical(),
        LOST | {"etag": None, "last_modified": None},
        {"mirror": {"seed": 79, "etag": None, "last_modified": None}},
        meant="mirror",
        file=MIRROR,
    ),
    "mirror-other-file-allowed": Fault(
        "another file in the second place, no validators, the owner allows it",
        Identical(),
        LOST | {"etag": None, "last_modified": None},
        {"mirror": {"seed": 80, "etag": None, "last_modified": None}},
        meant="mirror",
        file=MIRROR | {"resume_unvalidated": True},
    ),
    "mirror-other-size": Fault(
        "another size in the second place, same ETag",
        Identical(),
        LOST,
        {"mirror": {"seed": 81, "size": SIZE + CUT_AT}},
        meant="mirror",
        file=MIRROR,
    ),
    "mirror-all-404": Fault(
        "not found anywhere",
        Fails("BG_E_HTTP_ERROR_404"),
        {"statuses": [404] * 9},
        {"mirror": {"statuses": [404] * 9}},
        file=MIRROR,
    ),
    "mirror-all-but-one-final": Fault(
        "not found here, busy there: worth another try",
        Retries("BG_E_HTTP_ERROR_503"),
        {"status": 404},
        {"mirror": {"status": 503}},
        file=MIRROR,
    ),
    "mirror-busy-first": Fault(
        "busy here, not found there: worth another try",
        Retries("BG_E_HTTP_ERROR_503"),
        {"status": 503},
        {"mirror": {"status": 404}},
        file=MIRROR,
    ),
    "mirror-from-link": Fault(
        "the server names a duplicate, its own bytes are wrong",
        Identical(),
        WRONG_BYTES | {"headers": {"Link": "<{other}{path}-mirror>; rel=duplicate"}},
        SAME,
        meant="mirror",
        file=RIGHT,
    ),
    "mirror-from-link-nonsense": Fault(
        "links that cannot be read",
        Identical(),
        {"headers": {"Link": '<>; rel=duplicate, <http://[>; rel="duplicate", ;;; <ftp://a/b>; rel=duplicate; pri=x'}},
    ),
}
