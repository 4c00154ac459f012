"""What a named fault is: how the servers behave, what the job asks for, and how it has to end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SIZE = 100_000
"""Bytes of a file whose size is of no importance."""
CUT_AT = 40_000
CUT: dict[str, Any] = {"drop_after": CUT_AT}
"""The first reply breaks off here; the rest has to be asked for."""


@dataclass(frozen=True, slots=True)
class Identical:
    """The published file is what the server means now."""


@dataclass(frozen=True, slots=True)
class OneVersion:
    """The published file is what the server meant before or what it means now, never a mixture."""


@dataclass(frozen=True, slots=True)
class Fails:
    """ERROR with this code, and no file."""

    code: str


@dataclass(frozen=True, slots=True)
class Retries:
    """TRANSIENT_ERROR with this code (or the other, if either is right), at least so many times, and no file."""

    code: str
    times: int = 2
    other: str = ""


End = Identical | OneVersion | Fails | Retries


@dataclass(frozen=True, slots=True)
class Credential:
    """What a job is given for those who ask for it."""

    target: Literal["server", "proxy"]
    scheme: Literal["basic", "digest"]
    user: str = "ann"
    password: str = "pass word:1"


@dataclass(frozen=True, slots=True)
class Fault:
    """Texts may contain {path} of this fault, names of servers as {good} (tests/faults/servers.py), and digests of what
    the server means as {sha256}, {sha512}, {md5}, {new_sha256} (after the change).
    """

    about: str
    end: End
    script: Mapping[str, Any] = field(default_factory=dict)
    """Options of the Script that serves the path."""
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Scripts of further paths: `x` is served at {path}-x, with the same bytes unless it has a seed of its own."""
    remote: str = "{good}{path}"
    file: Mapping[str, Any] = field(default_factory=dict)
    """What is asked for besides the names, as in the API."""
    job: Mapping[str, Any] = field(default_factory=dict)
    """Properties of the job, as in the API."""
    credentials: tuple[Credential, ...] = ()
    client_certificate: Literal["", "known", "unknown"] = ""
    """One of the authority that the server asks for, or of another."""
    meant: str = ""
    """The script whose bytes are the right ones."""
    only: Literal["", "http", "https"] = ""
    """Makes sense over this only."""
    by_proxy: End | None = None
    """How it ends instead when a proxy stands between."""

    def ends(self, *, by_proxy: bool) -> End:
        return self.by_proxy if by_proxy and self.by_proxy is not None else self.end
