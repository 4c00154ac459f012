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
    """What tells two versions of a remote file apart (RFC 9110 §8.8); `size` is that of the whole remote file.

    `is_date_weak`: the file may have changed again within the second of `last_modified` (§8.8.2.2).
    `media_type`: of the reply, without parameters. `digest`: of the whole file as the server gave it (RFC 9530,
    RFC 6249), hashlib's name and hex digits.
    """

    etag: str | None = None
    last_modified: str | None = None
    size: int | None = None
    is_date_weak: bool = False
    media_type: str | None = None
    digest: tuple[tuple[str, str], ...] = ()

    @property
    def strong(self) -> str | None:
        """The validator for If-Range (RFC 9110 §13.1.5): a strong ETag, else a strong Last-Modified date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return None if self.is_date_weak else self.last_modified


NOTHING_KNOWN = Validators()


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
class Credential:
    """A user and password, offered to whoever challenges for them (§1.2, RFC 9110 §11).

    `target`: SERVER or PROXY; `scheme`: BASIC or DIGEST. `origin`: `https://host:port` it is for, None = whatever
    server (or proxy) the owner named.
    """

    target: str
    scheme: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class TlsTerms:
    """What of a server's certificate is not checked (§5.4), and the client's own one.

    `forgiven`: of CERT_CN_INVALID, CERT_DATE_INVALID, UNKNOWN_CA, CERT_WRONG_USAGE. `certificate`, `private_key`: PEM.
    """

    forgiven: frozenset[str] = frozenset()
    certificate: str = ""
    private_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """How to deal with servers on behalf of a job: the same for every request.

    `may_downgrade`: a redirect may lead from https to http (REDIRECT_ALLOW_HTTPS_TO_HTTP).
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    redirects: RedirectPolicy = RedirectPolicy.SILENT
    may_downgrade: bool = False
    proxy: ProxyRule = ProxyRule()
    credentials: tuple[Credential, ...] = ()
    tls: TlsTerms = TlsTerms()


PLAIN_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` up to but not including `end` of a temporary file, and the checksum (CRC-32C) of them."""

    start: int
    end: int
    checksum: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What is on record about the temporary file.

    `offset`: bytes known to be synced, `checksum` (CRC-32C) of them and `mtime` (st_mtime_ns) of the file at that time.
    `inode`: of the file they were written to, None = nothing is on record. `pieces`: what is synced beyond, in order,
    with gaps before and between.
    """

    offset: int = 0
    inode: int | None = None
    mtime: int | None = None
    checksum: int | None = None
    pieces: tuple[Piece, ...] = ()

    @property
    def length(self) -> int:
        """Of a file with just these bytes."""
        return self.pieces[-1].end if self.pieces else self.offset

    @property
    def size(self) -> int:
        """How many bytes are on record."""
        return self.offset + sum(piece.length for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """One file to fetch. `ranges` empty = the whole file; else their bytes concatenated in the order given (§5.7)."""

    urls: tuple[str, ...]
    """Where the file is: the remote name first, then its mirrors (more URLs of the same bytes)."""
    part_path: str
    ranges: tuple[ByteRange, ...] = ()
    part: PartRecord = PartRecord()
    fetched_from: str | None = None
    """Which of the URLs the bytes in the part file came from."""
    validators: Validators = NOTHING_KNOWN
    expected_size: int | None = None
    digest: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    is_resumable: bool = True
    """False: an interruption starts this file from zero (dynamic content, custom methods; §5.5, §5.6)."""
    may_resume_unvalidated: bool = False
    """Without a validator, the same size and equal bytes in an overlap are proof enough to go on."""
    maximum_size: int | None = None
    """Most bytes this file may still bring (MAX_DOWNLOAD_SIZE, §1.2); None = no limit."""
    make_dirs: bool = False
    terms: Terms = PLAIN_TERMS


@dataclass(frozen=True, slots=True)
class Settings:
    """How to transfer; durations in seconds, sizes in bytes. Filled from `[transfer]` of config.toml."""

    connect_timeout: float = 15.0
    stall_timeout: float = 30.0
    chunk_size: int = 1 << 20
    take_over_size: int = 16 << 20
    """Bodies of so many bytes are read past aiohttp, straight from the connection, where they can be; -1 = none."""
    user_agent: str = "bitsd"
    max_redirects: int = 10
    checkpoint_interval: float = 2.0
    """How often the part file is synced and its offset reported while bytes flow."""
    sync_size: int = 64 << 20
    """Bytes after which that is done sooner. At most twice as many are not synced: a power cut costs no more."""
    connections_per_file: int = 8
    """Most connections that one file is fetched by; 1 = never by several."""
    split_size: int = 16 << 20
    """Bytes that must be missing for that; 0 = as many connections as are allowed at once, without measuring."""
    reopen_limit: int = 3
    """How often a dropped connection that had moved bytes is reopened at once before the attempt fails."""


@dataclass(slots=True)
class Progress:
    """Live progress of one file: `transferred` bytes are in the part file (not yet synced), `readable` of them from its
    start without a gap. Read by anybody.
    """

    transferred: int = 0
    readable: int = 0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the reply head said, before the first byte of it counts.

    `size`: bytes the local file will have (the sum of the ranges, if any), None = the server does not say.
    `source`: the URL that was asked; `url`: where the bytes come from after redirects. `headers`: the reply's header
    block as received.
    """

    source: str
    url: str
    size: int | None
    validators: Validators
    headers: str
    inode: int


@dataclass(frozen=True, slots=True)
class Result:
    """The part file is complete, verified and synced; `size` in bytes, `mtime` as st_mtime_ns."""

    size: int
    mtime: int | None = None


class Observer(Protocol):
    """Whoever keeps the record of a transfer. Each call returns once the fact is recorded."""

    async def started(self, remote: RemoteFile, offset: int) -> None:
        """A reply was accepted; writing begins at `offset` (0 = from the start; earlier bytes are void then)."""

    async def lasts(self) -> None:
        """It goes on: told now and then, as long as it does."""

    async def synced(self, offset: int, checksum: int, mtime: int, pieces: tuple[Piece, ...]) -> None:
        """Everything below `offset`, and the pieces beyond it, is on the disk; see PartRecord. 0 = what was there is
        void.
        """
