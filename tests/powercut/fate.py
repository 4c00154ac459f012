"""What a power cut does to everything that was not synced: kept, dropped, or something in between, by a seed.

Owns the chances; the disk (tests/powercut/disk.py) says what there is to be kept or dropped.
"""

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

T = TypeVar("T")
Manner = Literal["strict", "ordered", "independent"]
MANNERS: tuple[Manner, ...] = ("strict", "ordered", "independent")


class Fate:
    """The chances of one power cut.

    strict: nothing that was not synced is kept. ordered: what ext4 does: names change in the order in which they were
    changed, a file is cut before bytes that were written later are in it. independent: what POSIX allows: each change
    for itself, in no order.
    """

    def __init__(self, seed: int, manner: Manner) -> None:
        self._chances = random.Random(seed)
        self.manner = manner

    def is_kept(self) -> bool:
        return self.manner != "strict" and self._chances.random() < 0.5

    def kept(self, changes: Sequence[T]) -> Sequence[T]:
        """Which of the changes of one directory's names are kept."""
        if self.manner == "strict":
            return ()
        if self.manner == "ordered":
            return changes[: self._chances.randint(0, len(changes))]
        return [change for change in changes if self.is_kept()]

    def one(self, choices: Sequence[T]) -> T:
        """The first of the choices is what was synced."""
        return choices[0] if self.manner == "strict" else self._chances.choice(choices)
