"""The moments of the service that matter for what is on the disk: counted, and one of them may be its last.

Owns the wrapping of calls, from the outside. Refuses to know what they are for.
"""

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args

P = ParamSpec("P")
T = TypeVar("T")

Kind = Literal["sync", "rename", "unlink", "truncate", "pwrite", "commit"]
Side = Literal["before", "after"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CALLS: dict[str, Kind] = {
    "fsync": "sync",
    "fdatasync": "sync",
    "rename": "rename",
    "unlink": "unlink",
    "truncate": "truncate",
    "ftruncate": "truncate",
    "pwrite": "pwrite",
    "pwritev": "pwrite",
}
"""Which functions of `os` are moments of which kind; a commit is SQLite's."""
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True, slots=True)
class Point:
    """A place to die: before or after the `number`th moment (from 1) of a kind. As text, `commit:after:17`."""

    kind: Kind
    side: Side
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.side}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Point":
        kind, side, number = text.split(":")
        return cls(_one_of(kind, KINDS), _one_of(side, SIDES), int(number))


def _one_of(word: str, words: tuple[T, ...]) -> T:
    return words[words.index(word)]


def count(log: Path) -> Counter[str]:
    """How many moments of each kind there were."""
    with suppress(FileNotFoundError):
        return Counter(log.read_text().split())
    return Counter()


class Moments:
    """`crash_at`: where the process kills itself; `log`: a file that gets one line for each moment."""

    def __init__(self, crash_at: Point | None, log: str | None) -> None:
        self._crash_at = crash_at
        self._log = log and os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._counts: Counter[Kind] = Counter()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Moments | None":
        """From CRASH_AT and MOMENTS_LOG; None without them."""
        crash_at, log = environment.get("CRASH_AT"), environment.get("MOMENTS_LOG")
        return cls(Point.parse(crash_at) if crash_at else None, log) if crash_at or log else None

    def watch(self) -> None:
        """Wrap the calls, for all of this process."""
        for name, kind in CALLS.items():
            setattr(os, name, self._watched(kind, getattr(os, name)))
        connect, moments = sqlite3.connect, self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401
                run = super().execute
                return (moments._watched("commit", run) if sql == "COMMIT" else run)(sql, *arguments)

            def executescript(self, script: str) -> sqlite3.Cursor:
                run = super().executescript
                return (moments._watched("commit", run) if "COMMIT" in script else run)(script)

        def watched_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
            options = {"factory": Connection} | options
            return connect(*arguments, **options)  # type: ignore[no-any-return]

        sqlite3.connect = watched_connect  # type: ignore[assignment]

    def _watched(self, kind: Kind, call: Callable[P, T]) -> Callable[P, T]:
        def watched(*arguments: P.args, **options: P.kwargs) -> T:
            self._counts[kind] += 1  # several threads may come here at once; whose turn is which does not matter
            number = self._counts[kind]
            if self._log:
                os.write(self._log, f"{kind}\n".encode())
            self._die_at(kind, "before", number)
            try:
                return call(*arguments, **options)
            finally:
                self._die_at(kind, "after", number)

        return watched

    def _die_at(self, kind: Kind, side: Side, number: int) -> None:
        crash = self._crash_at
        if crash is not None and (crash.kind, crash.side, crash.number) == (kind, side, number):
            os.kill(os.getpid(), signal.SIGKILL)
