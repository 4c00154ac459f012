"""Digests of bytes in order, fed while they arrive. Blocking: call update() on an executor.

Owns the hash states and the comparison; refuses to read files.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hmac import compare_digest

from transfer.errors import DigestMismatchError


@dataclass(slots=True)
class Digests:
    """Hash states and what they must come to: (hashlib algorithm, hex digits) pairs. Without any it is false."""

    _expected: dict[tuple[str, str], None] = field(default_factory=dict)
    _states: "dict[str, hashlib._Hash]" = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._expected)

    def expect(self, pairs: Iterable[tuple[str, str]]) -> "Digests":
        """Check for these too from now on; returns the states that are new, which have seen no byte yet.

        Raises DigestMismatchError when one algorithm is to have two results: no file can have both.
        """
        fresh = Digests()
        for name, value in pairs:
            self._expected[name, value.lower()] = None
            if name not in self._states:
                self._states[name] = fresh._states[name] = hashlib.new(name, usedforsecurity=False)
                fresh._expected[name, value.lower()] = None
        if len(self._expected) > len(self._states):
            raise DigestMismatchError("cannot accept the file: the server's digest of it is not the expected one")
        return fresh

    def update(self, data: bytes | memoryview) -> None:
        for state in self._states.values():
            state.update(data)

    def check(self, what: str) -> None:
        """Raises DigestMismatchError naming the first algorithm that disagrees."""
        for name, expected in self._expected:
            if not compare_digest(self._hex(name, len(expected)).encode(), expected.encode()):
                raise DigestMismatchError(f"cannot accept {what}: its {name} digest is not the expected one")

    def _hex(self, name: str, length: int) -> str:
        state = self._states[name]
        if state.digest_size:
            return state.hexdigest()
        # The shake family has no length of its own: it is as long as what it is compared with.
        return state.hexdigest(length // 2)  # type: ignore[call-arg]
