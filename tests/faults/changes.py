"""Files that change while they are fetched: what is published is one version, whatever the server says of them."""

from typing import Any

from tests.faults.fault import CUT, CUT_AT, SIZE, Fails, Fault, Identical, OneVersion, Retries

CHANGE: dict[str, Any] = CUT | {"change_after": 1}
STALL: dict[str, Any] = {"stall_after": CUT_AT, "change_after": 1}
UNPROVEN: dict[str, Any] = {"etag": None, "last_modified": None}
DATED: dict[str, Any] = {"etag": None}
KEPT = {"change_keeps_validators": True}
BLIND = {"ignore_if_range": True}
NEW_DIGEST = {"digest": {"sha-256": "{new_sha256}"}}
OLD_DIGEST = {"digest": {"sha-256": "{sha256}"}}
ALLOWED = {"resume_unvalidated": True}

FAULTS = {
    "change": Fault("another file of the same size", Identical(), CHANGE),
    "change-bigger": Fault("another, bigger file", Identical(), CHANGE | {"changed_size": SIZE * 2}),
    "change-smaller": Fault("another, smaller file", Identical(), CHANGE | {"changed_size": SIZE // 2}),
    "change-below-what-we-have": Fault(
        "another file, smaller than what is here", Identical(), CHANGE | {"changed_size": CUT_AT // 2}
    ),
    "change-to-what-we-have": Fault(
        "another file, just as big as what is here", Identical(), CHANGE | {"changed_size": CUT_AT}
    ),
    "change-to-empty": Fault("the file is empty now", Identical(), CHANGE | {"changed_size": 0}),
    "change-blind": Fault("changes; If-Range is ignored", Identical(), CHANGE | BLIND),
    "change-blind-date": Fault("changes; only a date, If-Range is ignored", Identical(), CHANGE | BLIND | DATED),
    "change-blind-smaller": Fault(
        "smaller; If-Range is ignored", Identical(), CHANGE | BLIND | {"changed_size": CUT_AT // 2}
    ),
    "change-no-ranges": Fault("changes; a server without ranges", Identical(), CHANGE | {"no_range": True}),
    "change-weak": Fault(
        "changes; a weak ETag", Identical(), CHANGE | BLIND | {"etag": 'W/"v1"', "last_modified": None}
    ),
    "change-weak-kept": Fault(
        "changes; the weak ETag stays", Identical(), CHANGE | BLIND | KEPT | {"etag": 'W/"v1"', "last_modified": None}
    ),
    "change-same-second": Fault(
        "changes within the second of its date", Identical(), CHANGE | KEPT | DATED | {"last_modified": "now"}
    ),
    "change-unproven": Fault("changes; no validators", Identical(), CHANGE | UNPROVEN),
    "change-unproven-bigger": Fault(
        "bigger; no validators", Identical(), CHANGE | UNPROVEN | {"changed_size": SIZE * 2}
    ),
    "change-unproven-chunked": Fault(
        "changes; no validators, no length", Identical(), CHANGE | UNPROVEN | {"framing": "chunked"}
    ),
    "change-unproven-allowed": Fault(
        "changes; no validators, the owner allows it: the overlap differs",
        Identical(),
        CHANGE | UNPROVEN,
        file=ALLOWED,
    ),
    "change-unproven-allowed-bigger": Fault(
        "bigger; no validators, the owner allows it",
        Identical(),
        CHANGE | UNPROVEN | {"changed_size": SIZE * 2},
        file=ALLOWED,
    ),
    "change-unproven-digest": Fault(
        "changes; no validators, the new one's digest is given", Identical(), CHANGE | UNPROVEN, file=NEW_DIGEST
    ),
    "change-kept-size": Fault("bigger; the validators stay", Identical(), CHANGE | KEPT | {"changed_size": SIZE * 2}),
    "change-kept-size-blind": Fault(
        "smaller; the validators stay, If-Range is ignored",
        Identical(),
        CHANGE | KEPT | BLIND | {"changed_size": CUT_AT + 5},
    ),
    "change-kept-digest": Fault(
        "other bytes under the same ETag; their digest is given", Identical(), CHANGE | KEPT, file=NEW_DIGEST
    ),
    "change-kept-served-digest": Fault(
        "other bytes under the same ETag; the server says their digest",
        Identical(),
        CHANGE | KEPT | {"digests": ("Repr-Digest",)},
    ),
    "change-away-from-digest": Fault(
        "changes; the old one's digest is given", Fails("BG_E_VALIDATION_FAILED"), CHANGE, file=OLD_DIGEST
    ),
    "change-between-attempts": Fault("falls silent, then another file", Identical(), STALL),
    "change-between-attempts-blind": Fault("the same; If-Range is ignored", Identical(), STALL | BLIND),
    "change-between-attempts-unproven": Fault("the same; no validators", Identical(), STALL | UNPROVEN),
    "change-between-attempts-bigger": Fault(
        "falls silent, then a bigger file; the validators stay", Identical(), STALL | KEPT | {"changed_size": SIZE * 2}
    ),
    "change-between-attempts-digest": Fault(
        "other bytes under the same ETag after a silence; their digest is given",
        Identical(),
        STALL | KEPT,
        file=NEW_DIGEST,
    ),
    "change-between-ranges": Fault(
        "changes between two ranges",
        Identical(),
        {"change_after": 1},
        file={"ranges": [{"offset": 0, "length": 1000}, {"offset": 50_000, "length": 1000}]},
    ),
    "change-between-ranges-blind": Fault(
        "changes between two ranges; If-Range is ignored",
        Identical(),
        {"change_after": 1} | BLIND,
        file={"ranges": [{"offset": 50_000, "length": 1000}, {"offset": 0, "length": 1000}, {"offset": 99_000}]},
    ),
    "change-while-read": Fault(
        "the server reads from a file that is being replaced; the new one's digest is given",
        Identical(),
        {"change_at": CUT_AT},
        file=NEW_DIGEST,
    ),
    "change-every-time": Fault(
        "every request sees another file, and none is complete",
        Retries("BG_E_REMOTE_FILE_CHANGED", other="BG_E_CONNECTION_CLOSED"),
        {"drop_after": CUT_AT, "drop_times": -1, "change_every_time": True, "ignore_if_range": True},
    ),
    "change-after-it-came": Fault("changes when it is all here", OneVersion(), {"change_after": 1}),
    "grow": Fault("grows", Identical(), CHANGE | {"change_keeps_bytes": True, "changed_size": SIZE + 5000}),
    "grow-kept": Fault(
        "grows; the validators stay",
        Identical(),
        CHANGE | KEPT | {"change_keeps_bytes": True, "changed_size": SIZE + 5000},
    ),
    "grow-unproven": Fault(
        "grows; no validators",
        Identical(),
        CHANGE | UNPROVEN | {"change_keeps_bytes": True, "changed_size": SIZE + 5000},
    ),
    "grow-unproven-allowed": Fault(
        "grows; no validators, the owner allows it",
        Identical(),
        CHANGE | UNPROVEN | {"change_keeps_bytes": True, "changed_size": SIZE + 5000},
        file=ALLOWED,
    ),
    "grow-while-read": Fault("grows in the middle of the body", Identical(), {"extra": b"a new line in the log\n"}),
    "shrink": Fault(
        "shrinks to less than what is here",
        Identical(),
        CHANGE | {"change_keeps_bytes": True, "changed_size": CUT_AT - 5000},
    ),
}
