"""A row of the comparison: what work, how it is measured, and what is demanded of the figures."""

import statistics
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.measure import Bench, Rounds

BITSD = "bitsd"


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a figure over the rounds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Demand:
    """`metric` of `who`, as a ratio to that of `base` (or to its `base_metric`) in the same round if there is one, is
    at most, or at least, `limit` in the median.
    """

    name: str
    metric: str
    limit: float
    base: str | None = None
    who: str = BITSD
    is_least: bool = False
    aim: float | None = None
    base_metric: str | None = None

    def spread(self, rounds: Rounds) -> Spread:
        """What was reached."""
        divisor = self.base_metric or self.metric
        values = [
            found[self.who][self.metric] / (1 if self.base is None else found[self.base][divisor]) for found in rounds
        ]
        return Spread(statistics.median(values), min(values), max(values))

    def is_met(self, rounds: Rounds) -> bool:
        median = self.spread(rounds).median
        return median >= self.limit if self.is_least else median <= self.limit

    @property
    def text(self) -> str:
        """As the issue states it."""
        aim = "" if self.aim is None else f" (aim {self.aim:g})"
        return f"{'≥' if self.is_least else '≤'} {self.limit:g}{aim}"


@dataclass(frozen=True, slots=True)
class Row:
    """`base` is the peer that the others are shown as a ratio to; `gib` are moved in a run, 0 = it is about other
    things; `how` tells what the reader must know to judge the figures.
    """

    name: str
    work: str
    how: str
    measure: Callable[[Bench], Coroutine[Any, Any, Rounds]]
    demands: tuple[Demand, ...]
    base: str | None = None
    gib: float = 0
