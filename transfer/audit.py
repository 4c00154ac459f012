"""Whether a temporary file is as its record says. Blocking; reads it, and changes nothing."""

import errno
import os
import stat

from transfer.errors import LocalFileError
from transfer.opening import NOT_A_FILE, SAFE
from transfer.partfile import PROOF_SIZE, checksum, local_failure
from transfer.request import PartRecord, Piece


def disagreement(path: str, record: PartRecord, *, is_finished: bool) -> LocalFileError | None:
    """What is wrong with the file at `path`, None = nothing: ENOENT if it is gone, ESTALE if it is another one or has
    other bytes than those on record, any other errno if it cannot be looked at.
    """
    try:
        with local_failure("check", path):
            number = os.open(path, os.O_RDONLY | SAFE)
    except LocalFileError as failure:
        return _changed(path) if failure.errno in NOT_A_FILE else failure
    try:
        with local_failure("check", path):
            return None if _is_as_recorded(number, record, is_finished=is_finished) else _changed(path)
    except LocalFileError as failure:
        return failure
    finally:
        os.close(number)


def _is_as_recorded(number: int, record: PartRecord, *, is_finished: bool) -> bool:
    facts = os.fstat(number)
    if not stat.S_ISREG(facts.st_mode) or facts.st_ino != record.inode:
        return False
    is_untouched = (facts.st_size, facts.st_mtime_ns) == (record.length, record.mtime)
    if is_untouched or is_finished:
        return is_untouched
    return facts.st_size >= record.length and _has_bytes(number, record)


def _has_bytes(number: int, record: PartRecord) -> bool:
    """After a crash the file may be longer and younger than its record: its bytes decide."""
    first = (Piece(0, record.offset, record.checksum or 0),) if record.offset else ()
    return all(_is_there(number, piece) for piece in (*first, *record.pieces))


def _is_there(number: int, piece: Piece) -> bool:
    so_far, read = 0, piece.start
    while read < piece.end:
        count, so_far = checksum(number, read, min(PROOF_SIZE, piece.end - read), so_far)
        if not count:
            return False
        read += count
    return so_far == piece.checksum


def _changed(path: str) -> LocalFileError:
    return LocalFileError(f"{path} was changed by somebody else", errno.ESTALE, path)
