"""The key that secrets at rest are sealed with: a file that only the service can read, beside its database.

AES-256-GCM (NIST SP 800-38D) with a random nonce for each text. Refuses a key file that others can read.
"""

import base64
import hashlib
import os
import secrets
import stat
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from daemon.config import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
NONCE_SIZE = 12


class KeySeal:
    """jobqueue.secrets.Seal with a key of 32 bytes. Used on the store's thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.mark = f"{hashlib.sha256(b'bitsd ' + key).hexdigest()[:8]}."

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 9 MiB: only with the first secret

        return AESGCM(self._key)

    def seal(self, text: str) -> str:
        """The mark, then base64 of nonce and ciphertext."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return self.mark + base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def unseal(self, text: str) -> str | None:
        """None when it was sealed with another key, or is damaged."""
        from cryptography.exceptions import InvalidTag  # as above

        try:
            raw = base64.b64decode(text.removeprefix(self.mark), validate=True)
            return self._cipher.decrypt(raw[:NONCE_SIZE], raw[NONCE_SIZE:], None).decode()
        except (InvalidTag, ValueError):
            return None


def load_key(path: str) -> bytes:
    """The key in the file at `path`; a new one when there is none. Raises ConfigError."""
    try:
        return _read(path) or _create(path)
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}") from error


def _read(path: str) -> bytes | None:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(number, "rb") as file:
        facts = os.fstat(number)
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ConfigError(
                f"cannot use {path}: it must be the service's own, and closed to others (chmod 600);"
                " if somebody may have read it, remove it and set the secrets of jobs again"
            )
        key = file.read(KEY_SIZE + 1)
    if len(key) != KEY_SIZE:
        raise ConfigError(f"cannot use {path}: it holds no key; remove it and set the secrets of jobs again")
    return key


def _create(path: str) -> bytes:
    """A key that is whole on the disk before the first secret is sealed with it."""
    key, draft = secrets.token_bytes(KEY_SIZE), f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(draft)  # of a start that was killed
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(number)
    os.rename(draft, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return key
