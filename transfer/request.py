"""The values a transfer is described by: what to fetch, how far it has come, what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A piece of the remote file: `offset` from 0, `length` in bytes, None = to the end of the file."""

    offset: int
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells two versions of a remote file apart (RFC 9110 §8.8); `size` is that of the whole remote file."""

    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None

    @property
    def strong(self) -> str | None:
        """The validator for If-Range (RFC 9110 §13.1.5): a strong ETag, else the Last-Modified date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class RedirectPolicy(StrEnum):
    """What to do with a redirect (spec/service.md §5.4)."""

    SILENT = "SILENT"
    REPORT = "REPORT"
    DISALLOW = "DISALLOW"


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """A job's proxy settings (§5.10): `usage` is PRECONFIG, NO_PROXY, OVERRIDE or AUTODETECT; lists as they came."""

    usage: str = "PRECONFIG"
    servers: str = ""
    bypass: str = ""


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What is on record about the temporary file.

    `offset`: bytes known to be synced. `inode`: of the file they were written to, None = nothing is on record.
    `is_length_trusted`: the machine has not restarted since, so bytes past `offset` that are in the file are ours too.
    """

    offset: int = 0
    inode: int | None = None
    is_length_trusted: bool = False


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """One file to fetch. `ranges` empty = the whole file; else their bytes concatenated in the order given (§5.7)."""

    url: str
    part_path: str
    ranges: tuple[ByteRange, ...] = ()
    part: PartRecord = PartRecord()
    validators: Validators = Validators()
    expected_size: int | None = None
    digest: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    is_resumable: bool = True
    """False: an interruption starts this file from zero (dynamic content, custom methods; §5.5, §5.6)."""
    maximum_size: int | None = None
    """Most bytes this file may still bring (MAX_DOWNLOAD_SIZE, §1.2); None = no limit."""
    redirects: RedirectPolicy = RedirectPolicy.SILENT
    may_downgrade: bool = False
    """A redirect may lead from https to http (REDIRECT_ALLOW_HTTPS_TO_HTTP)."""
    make_dirs: bool = False
    proxy: ProxyRule = ProxyRule()


@dataclass(frozen=True, slots=True)
class Settings:
    """How to transfer; durations in seconds, sizes in bytes. Filled from `[transfer]` of config.toml."""

    connect_timeout: float = 15.0
    stall_timeout: float = 30.0
    chunk_size: int = 1 << 20
    user_agent: str = "bitsd"
    max_redirects: int = 10
    checkpoint_interval: float = 2.0
    """How often the part file is synced and its offset reported while bytes flow."""
    reopen_limit: int = 3
    """How often a dropped connection that had moved bytes is reopened at once before the attempt fails."""


@dataclass(slots=True)
class Progress:
    """Live progress of one file: `transferred` bytes are in the part file (not yet synced). Read by anybody."""

    transferred: int = 0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the reply head said, before the first byte of it counts.

    `size`: bytes the local file will have (the sum of the ranges, if any), None = the server does not say.
    `url`: where the bytes come from after redirects; `headers`: the reply's header block as received.
    """

    url: str
    size: int | None
    validators: Validators
    headers: str
    inode: int


@dataclass(frozen=True, slots=True)
class Result:
    """The part file is complete, verified and synced; `size` in bytes."""

    size: int


class Observer(Protocol):
    """Whoever keeps the record of a transfer. Both calls return once the fact is recorded."""

    async def started(self, remote: RemoteFile, offset: int) -> None:
        """A reply was accepted; writing begins at `offset` (0 = from the start; earlier bytes are void then)."""

    async def synced(self, offset: int) -> None:
        """Everything below `offset` is on the disk."""
