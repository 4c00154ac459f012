"""Files as they come from a client (§1.3): local names, ranges and digests are checked here, before anything else.

What needs the file system is asked on the owner's own executor, so that the kernel judges with the owner's rights.
"""

import errno
import os
import re
import stat
from collections.abc import Sequence

from daemon.api.problem import field_error
from daemon.api.remote_names import parse_remote_name
from daemon.digests import digest_length, hash_name
from daemon.schema import MAX_PATH, FileToAdd, Range
from jobqueue.errors import RefusedError
from jobqueue.job import File
from jobqueue.secrets import Credential

MAX_COMPONENT = 255


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


def check_destinations(files: Sequence[File], seen: set[str]) -> None:
    """Raise RefusedError unless each file's directory is there and writable. Blocks: run on the owner's executor.

    `seen`: directories that were found to be so in this call; grows.
    """
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


def to_file(wanted: FileToAdd, number: int) -> tuple[File, Sequence[Credential]]:
    """The checked file as the queue takes it, and the credentials its URLs carried.

    Raises RefusedError naming `files.<number>.<field>`.
    """
    where = f"files.{number}"
    remote_name, credentials = parse_remote_name(wanted.remote_name, f"{where}.remote_name")
    check_local_name(wanted.local_name, f"{where}.local_name")
    mirrors = []
    for position, mirror in enumerate(wanted.mirrors or ()):
        url, more = parse_remote_name(mirror, f"{where}.mirrors.{position}")
        mirrors.append(url)
        credentials = [*credentials, *more]
    for name, value in (wanted.digest or {}).items():
        _check_digest(name, value, f"{where}.digest.{name}")
    if len({hash_name(name) for name in wanted.digest or {}}) < len(wanted.digest or {}):
        raise field_error(f"{where}.digest", "the digest names an algorithm twice")
    if wanted.digest is not None and not wanted.digest:
        raise field_error(f"{where}.digest", "the digest names no algorithm")
    file = File(
        index=number,
        remote_name=remote_name,
        local_name=wanted.local_name,
        temporary_name="",
        ranges=_ranges(wanted.ranges, f"{where}.ranges"),
        expected_size=wanted.expected_size,
        digest=wanted.digest or {},
        mirrors=tuple(mirrors),
        make_dirs=wanted.make_dirs,
        resume_unvalidated=wanted.resume_unvalidated,
    )
    return file, credentials


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
