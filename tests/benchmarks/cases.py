"""Which faults bitsd and its rivals are compared on: those of the corpus that a plain command over http can meet, and
the splices, in which the file is replaced between two runs, or between the connections of one.

Left out is what needs https, credentials, a proxy, mirrors, ranges or other properties of a job.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.faults import FAULTS, Fault
from tests.faults.fault import CUT_AT, SIZE, Identical, OneVersion

STALL: dict[str, Any] = {"stall_after": CUT_AT, "change_after": 1}


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and the signal that ends the first run (or the service) in the middle of it."""

    name: str
    fault: Fault
    interrupt: signal.Signals | None = None


def is_for_all(fault: Fault) -> bool:
    """Whether a plain command over http can meet it."""
    needs_more = fault.job or fault.credentials or fault.client_certificate or {"ranges", "mirrors"} & set(fault.file)
    return fault.only != "https" and not needs_more


def _stopped(
    name: str, about: str, script: dict[str, Any], file: Mapping[str, Any], number: signal.Signals = signal.SIGTERM
) -> Case:
    return Case(f"splice-{name}", Fault(about, Identical(), STALL | script, file=file), number)


SPLICES = (
    Case(
        "splice-segments",
        Fault(
            "replaced after the first request, while further connections begin",
            OneVersion(),
            {"size": 4 << 20, "rate": 1 << 20, "change_after": 1},
        ),
    ),
    _stopped("same-size", "stopped, then another file of the same size", {}, {}),
    _stopped("date-only", "the same without ETag", {"etag": None}, {}),
    _stopped("unproven", "the same without validators", {"etag": None, "last_modified": None}, {}),
    _stopped("blind", "the same, If-Range is ignored", {"ignore_if_range": True}, {}),
    _stopped("bigger", "stopped, then another, bigger file", {"changed_size": 2 * SIZE}, {}),
    _stopped("smaller", "stopped, then another file, smaller than what is here", {"changed_size": CUT_AT // 2}, {}),
    _stopped("as-big", "stopped, then another file, as big as what is here", {"changed_size": CUT_AT}, {}),
    _stopped(
        "same-etag",
        "stopped, then other bytes under the same ETag, whose digest is given",
        {"change_keeps_validators": True},
        {"digest": {"sha-256": "{new_sha256}"}},
    ),
    _stopped("killed", "killed by SIGKILL, then another file of the same size", {}, {}, signal.SIGKILL),
    _stopped("killed-unchanged", "killed by SIGKILL, the same file", {"change_after": None}, {}, signal.SIGKILL),
)
CASES = (*(Case(name, fault) for name, fault in FAULTS.items() if is_for_all(fault)), *SPLICES)
