"""Digests of the bytes of one file, fed while they arrive. Blocking: call update() on an executor.

Owns the hash states and the comparison; refuses to read files.
"""

import hashlib
from collections.abc import Mapping
from hmac import compare_digest

from transfer.errors import DigestMismatchError


class Digests:
    """`expected`: hashlib algorithm -> hex digest in any case. Empty = nothing to verify (and it is false then)."""

    def __init__(self, expected: Mapping[str, str]) -> None:
        self._expected = {name: value.lower() for name, value in expected.items()}
        self.reset()

    def __bool__(self) -> bool:
        return bool(self._expected)

    def reset(self) -> None:
        """Forget everything fed so far."""
        self._states = {name: hashlib.new(name, usedforsecurity=False) for name in self._expected}

    def update(self, data: bytes) -> None:
        for state in self._states.values():
            state.update(data)

    def check(self, path: str) -> None:
        """Raises DigestMismatchError naming the first algorithm that disagrees."""
        for name, expected in self._expected.items():
            if not compare_digest(self._hex(name).encode(), expected.encode()):
                raise DigestMismatchError(f"cannot accept {path}: its {name} digest is not the expected one")

    def _hex(self, name: str) -> str:
        state = self._states[name]
        if state.digest_size:
            return state.hexdigest()
        # The shake family has no length of its own: it is as long as what it is compared with.
        return state.hexdigest(len(self._expected[name]) // 2)  # type: ignore[call-arg]
