"""Names of hash algorithms: as people write them (`sha-256`, `SHA256`, `sha3-512`) to what hashlib calls them."""

import hashlib


def hash_name(name: str) -> str | None:
    """The name hashlib has for the algorithm, None when there is no such one (or it has no fixed length)."""
    lower = name.lower()
    for candidate in (lower, lower.replace("-", "_"), lower.replace("-", "")):
        if candidate in hashlib.algorithms_available and hashlib.new(candidate, usedforsecurity=False).digest_size:
            return candidate
    return None


def digest_length(name: str) -> int:
    """Hex digits of a digest of the algorithm, which hash_name gave."""
    return 2 * hashlib.new(name, usedforsecurity=False).digest_size
