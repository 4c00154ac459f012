"""What a download came to, judged from the exit code and the bytes alone, and the tables made of it.

Owns no process and no server: tests/benchmarks/faults.py runs them. Knows nothing of how a fault should end; a tool
that could not be told of a promise (a size, a digest) is counted apart.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Results = dict[str, dict[str, "Verdict"]]
"""By tool and by fault."""


class Verdict(StrEnum):
    """One column of the table each."""

    RIGHT = "the right file"
    OLDER = "an older version, whole"
    ERROR = "an error"
    TRYING = "still trying"
    NOTHING = "success, no file"
    UNTOLD = "success, wrong file, promise not expressible"
    WRONG = "**success, wrong file**"


@dataclass(frozen=True, slots=True)
class Ending:
    """How the last run ended: its exit code (None = it went on at the time limit), and the bytes under the final name
    (None = there is no such file).
    """

    code: int | None
    data: bytes | None = None


def judge(ending: Ending, versions: tuple[bytes, bytes], *, is_told: bool) -> Verdict:
    """`versions`: what the server meant before and what it means now. `is_told`: the tool knew every promise."""
    if ending.code is None:
        return Verdict.TRYING
    if ending.code != 0:
        return Verdict.ERROR
    if ending.data is None:
        return Verdict.NOTHING
    older, right = versions
    if ending.data == right:
        return Verdict.RIGHT
    if ending.data == older:
        return Verdict.OLDER
    return Verdict.WRONG if is_told else Verdict.UNTOLD


def table(results: Results) -> str:
    """Markdown: a row for each tool, a column for each verdict."""
    rows = [["", *Verdict], ["---", *("--:" for _ in Verdict)]]
    for tool, found in results.items():
        counts = Counter(found.values())
        rows.append([tool, *(str(counts[verdict]) for verdict in Verdict)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def names(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Markdown: for each tool and each of these verdicts, the faults that ended so."""
    lines = []
    for tool, found in results.items():
        for verdict in verdicts:
            ended = [f"`{name}`" for name, each in found.items() if each is verdict]
            if ended:
                lines.append(f"- **{tool}**, {verdict.strip('*')} ({len(ended)}): {', '.join(ended)}")
    return "\n".join(lines) or "None."


def between(text: str, marks: tuple[str, str], content: str) -> str:
    """`text` with `content` between its two marks; ValueError when it does not have them."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"cannot fill in the table: there is no {marks[0]} … {marks[1]}")
    return f"{before}{begin}\n{content}\n{end}{after}"
