"""Remote and local names, ranges and digests as they come from a client (§1.3): checked here, before anything else.

What needs the file system is asked on the owner's own executor, so that the kernel judges with the owner's rights.
"""

import errno
import os
import re
import stat
from collections.abc import Sequence
from urllib.parse import urlsplit

from daemon.api.problem import field_error
from daemon.digests import digest_length, hash_name
from daemon.schema import MAX_PATH, MAX_URL, FileToAdd, Range
from jobqueue.errors import RefusedError
from jobqueue.job import File

_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%|^{}]+")
_HOST = re.compile(r"[A-Za-z0-9._~%\-]+|[0-9A-Fa-f:.]+")
MAX_COMPONENT = 255


def check_remote_name(url: str, field: str) -> None:
    """Raise RefusedError unless this is a URL we can fetch: http or https, plain ASCII, no credentials in it."""
    if len(url) > MAX_URL:
        raise field_error(field, f"the URL is longer than {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise field_error(field, f"this is not a URL: {error}") from error
    if parts.scheme.lower() not in {"http", "https"}:
        raise field_error(field, f"cannot fetch {parts.scheme or 'a name without scheme'}: only http and https URLs")
    if not _URL.fullmatch(url):
        raise field_error(field, "the URL holds a character that must be percent-encoded (a host name: punycode)")
    if "@" in parts.netloc:
        raise field_error(field, "the URL holds a user name or password; leave them out")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
        raise field_error(field, "the URL names no valid host and port")


def check_local_name(path: str, field: str) -> None:
    """Raise RefusedError unless this can be the absolute name of a file; the file system is not asked."""
    if not path.startswith("/"):
        raise field_error(field, "the local name is not an absolute path")
    raw = os.fsencode(path)
    parts = raw.split(b"/")
    if b"\0" in raw or not parts[-1] or parts[-1] == b"." or b".." in parts:
        raise field_error(field, "the local name does not name a file (no NUL, no '..', no '/' at its end)")
    if len(raw) > MAX_PATH - 1 or max(map(len, parts)) > MAX_COMPONENT:
        raise field_error(field, f"the local name is too long ({MAX_PATH - 1} bytes, {MAX_COMPONENT} for each part)")


def check_destinations(files: Sequence[File]) -> None:
    """Raise RefusedError unless each file's directory is there and writable. Blocks: run on the owner's executor."""
    seen: set[str] = set()
    for number, file in enumerate(files):
        folder = os.path.dirname(file.local_name)
        if folder not in seen:
            _check_folder(folder, f"files.{number}.local_name", make_dirs=file.make_dirs)
            seen.add(folder)
        try:
            is_folder = stat.S_ISDIR(os.lstat(file.local_name).st_mode)
        except OSError:
            is_folder = False
        if is_folder:
            raise field_error(f"files.{number}.local_name", f"{file.local_name} is a directory")


def to_file(wanted: FileToAdd, number: int) -> File:
    """The checked file as the queue takes it. Raises RefusedError naming `files.<number>.<field>`."""
    where = f"files.{number}"
    check_remote_name(wanted.remote_name, f"{where}.remote_name")
    check_local_name(wanted.local_name, f"{where}.local_name")
    for position, mirror in enumerate(wanted.mirrors or ()):
        check_remote_name(mirror, f"{where}.mirrors.{position}")
    for name, value in (wanted.digest or {}).items():
        _check_digest(name, value, f"{where}.digest.{name}")
    if len({hash_name(name) for name in wanted.digest or {}}) < len(wanted.digest or {}):
        raise field_error(f"{where}.digest", "the digest names an algorithm twice")
    if wanted.digest is not None and not wanted.digest:
        raise field_error(f"{where}.digest", "the digest names no algorithm")
    return File(
        index=number,
        remote_name=wanted.remote_name,
        local_name=wanted.local_name,
        temporary_name="",
        ranges=_ranges(wanted.ranges, f"{where}.ranges"),
        expected_size=wanted.expected_size,
        digest=wanted.digest or {},
        mirrors=tuple(wanted.mirrors or ()),
        make_dirs=wanted.make_dirs,
    )


def _ranges(ranges: Sequence[Range] | None, field: str) -> tuple[tuple[int, int | None], ...]:
    if ranges is None:
        return ()
    if not ranges:
        raise field_error(field, "an empty list of ranges; leave it out for the whole file")
    for number, item in enumerate(ranges):
        if item.offset < 0 or item.offset >= 2**63 or (item.length is not None and not 0 < item.length < 2**63):
            raise field_error(
                f"{field}.{number}", "a range starts at 0 or later and has at least one byte", "BG_E_INVALID_RANGE"
            )
    return tuple((item.offset, item.length) for item in ranges)


def _check_digest(name: str, value: str, field: str) -> None:
    algorithm = hash_name(name)
    if algorithm is None:
        raise field_error(field, f"there is no hash algorithm {name}", "BG_E_INVALID_HASH_ALGORITHM")
    if not re.fullmatch(r"[0-9A-Fa-f]+", value) or len(value) != digest_length(algorithm):
        raise field_error(field, f"a {name} digest has {digest_length(algorithm)} hexadecimal digits")


def _check_folder(folder: str, field: str, *, make_dirs: bool) -> None:
    try:
        found = os.stat(folder)
    except OSError as error:
        if error.errno == errno.ENOENT and make_dirs:
            return
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise RefusedError("E_ACCESSDENIED", f"cannot reach {folder}", field=field, path=folder) from error
        hint = "; create it, or ask for make_dirs" if error.errno == errno.ENOENT else ""
        message = f"cannot use the directory {folder}: {error.strerror}{hint}"
        raise RefusedError("E_INVALIDARG", message, field=field, path=folder) from error
    if not stat.S_ISDIR(found.st_mode):
        raise RefusedError("E_INVALIDARG", f"{folder} is not a directory", field=field, path=folder)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise RefusedError("E_ACCESSDENIED", f"cannot write in {folder}", field=field, path=folder)
