"""Digests and sizes that the owner or the server names, right and wrong (RFC 9530, RFC 3230, RFC 6249)."""

from tests.faults.fault import CUT, SIZE, Fails, Fault, Identical

INVALID = Fails("BG_E_VALIDATION_FAILED")
RIGHT = {"digest": {"sha-256": "{sha256}"}}
WRONG = {"digest": {"sha-256": "0" * 64}}
UNPROVEN = {"etag": None, "last_modified": None}
NAMES = {"repr-digest": "Repr-Digest", "content-digest": "Content-Digest", "digest": "Digest"}
EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

FAULTS = {f"{key}-right": Fault(f"{name} is right", Identical(), {"digests": (name,)}) for key, name in NAMES.items()}
FAULTS |= {
    f"{key}-right-cut": Fault(f"{name} is right, in two parts", Identical(), CUT | {"digests": (name,)})
    for key, name in NAMES.items()
}
FAULTS |= {
    f"{key}-wrong": Fault(f"{name} is wrong", INVALID, {"digests": (name,), "digest_lies": -1})
    for key, name in NAMES.items()
}
FAULTS |= {
    f"{key}-wrong-once": Fault(f"{name} is wrong once", Identical(), {"digests": (name,), "digest_lies": 1})
    for key, name in NAMES.items()
}
FAULTS |= {
    "all-digests-cut-unproven": Fault(
        "all digests, no validators", Identical(), CUT | UNPROVEN | {"digests": tuple(NAMES.values())}
    ),
    "digest-unknown": Fault(
        "a digest by an algorithm that nobody has", Identical(), {"headers": {"Repr-Digest": "sha-9000=:AAAA:"}}
    ),
    "digest-malformed": Fault(
        "digests that cannot be read",
        Identical(),
        {"headers": {"Repr-Digest": "sha-256=:!!!:, =, ::", "Digest": "SHA-256", "Content-Digest": 'sha-256="x"'}},
    ),
    "digest-contradicts": Fault(
        "the server's digest is not the owner's",
        INVALID,
        {"headers": {"Repr-Digest": f"sha-256=:{EMPTY}:"}},
        file=RIGHT,
    ),
    "given-digest-right": Fault("the owner's digest is right", Identical(), file=RIGHT),
    "given-digest-other-algorithms": Fault(
        "the owner gives two digests", Identical(), file={"digest": {"md5": "{md5}", "sha-512": "{sha512}"}}
    ),
    "given-digest-one-wrong": Fault(
        "the owner's digest is wrong in one of two", INVALID, file={"digest": {"md5": "{md5}", "sha-256": "F" * 64}}
    ),
    "given-digest-wrong": Fault("the owner's digest is wrong", INVALID, file=WRONG),
    "given-digest-wrong-cut": Fault("the owner's digest is wrong, in two parts", INVALID, CUT, file=WRONG),
    "given-digest-empty": Fault("the owner's digest of no bytes", Identical(), {"size": 0}, file=RIGHT),
    "given-size-right": Fault("the owner's size is right", Identical(), file={"expected_size": SIZE}),
    "given-size-wrong": Fault("the owner's size is wrong", INVALID, file={"expected_size": SIZE + 1}),
    "given-size-wrong-chunked": Fault(
        "the owner's size is less than what chunks bring",
        INVALID,
        {"framing": "chunked"},
        file={"expected_size": SIZE - 1},
    ),
    "given-size-wrong-close": Fault(
        "the owner's size is more than what comes", INVALID, {"framing": "close"}, file={"expected_size": SIZE + 1}
    ),
    "given-size-empty": Fault(
        "a file of no bytes where some are expected", INVALID, {"size": 0}, file={"expected_size": 5}
    ),
    "damaged-once": Fault(
        "damaged in the middle, once", Identical(), {"change_at": 10}, file={"digest": {"sha-256": "{new_sha256}"}}
    ),
}
