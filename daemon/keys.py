"""The key that secrets at rest are sealed with: a file that only the service can read, beside its database.

AES-256-GCM (NIST SP 800-38D) with a random nonce for each text. Refuses a key file that others can read.
"""

import base64
import binascii
import logging
import os
import secrets
import stat

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from daemon.config import ConfigError

log = logging.getLogger(__name__)

KEY_SIZE = 32
NONCE_SIZE = 12


class KeySeal:
    """jobqueue.secrets.Seal with a key of 32 bytes. Used on the store's thread."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._has_warned = False

    def seal(self, text: str) -> str:
        """Base64 of nonce and ciphertext."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), None)).decode()

    def unseal(self, text: str) -> str | None:
        """None when it was sealed with another key, or is damaged; that is logged once."""
        try:
            raw = base64.b64decode(text, validate=True)
            return self._cipher.decrypt(raw[:NONCE_SIZE], raw[NONCE_SIZE:], None).decode()
        except (InvalidTag, ValueError, binascii.Error):
            if not self._has_warned:
                log.warning(
                    "secrets of jobs were sealed with another key than this secret.key; jobs go on without them:"
                    " set credentials, headers and signed addresses again"
                )
            self._has_warned = True
            return None


def load_key(path: str) -> bytes:
    """The key in the file at `path`; a new one when there is none. Raises ConfigError, OSError."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _create(path)
    with os.fdopen(number, "rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ConfigError(f"cannot use {path}: others than the service may read it; chmod 600 and set secrets anew")
        key = file.read(KEY_SIZE + 1)
    if len(key) != KEY_SIZE:
        raise ConfigError(f"cannot use {path}: it does not hold a key; remove it, and set the secrets of jobs again")
    return key


def _create(path: str) -> bytes:
    """A key that is whole on the disk before the first secret is sealed with it."""
    key, folder, draft = secrets.token_bytes(KEY_SIZE), os.path.dirname(path), f"{path}.new"
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return key
