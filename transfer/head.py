"""Whether the head of a reply is HTTP that may be relied on: pure (RFC 9110 §5, RFC 9112 §2.3, §6).

The parser is lenient where this is not: a reply whose framing or fields can be read in two ways is refused. What the
reply means is reply.py.
"""

import re

from transfer.errors import BadReplyError, GarbledReplyError, shown
from transfer.source import Head

LONGEST_LINE = 8190
"""Bytes of one line of a head."""
MOST_FIELDS = 128
LARGEST = 1 << 16
"""Bytes of all fields of a head."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def require_sound(head: Head, version: tuple[int, int]) -> None:
    """Raises GarbledReplyError when the head cannot be trusted, BadReplyError for a transfer coding besides chunked."""
    name = shown(head.url)
    if version not in {(1, 0), (1, 1)} or head.status < 100:
        raise GarbledReplyError(f"cannot fetch {name}: the reply is not HTTP/1")
    if sum(len(key) + len(value) for key, value in head.fields) > LARGEST:
        raise GarbledReplyError(f"cannot fetch {name}: the head of the reply is larger than {LARGEST} bytes")
    if not all(_TOKEN.fullmatch(key) and not _CONTROL.search(value) for key, value in head.fields):
        raise GarbledReplyError(f"cannot fetch {name}: the head of the reply has fields that are not HTTP")
    codings = [coding.strip().lower() for coding in head.get_all("transfer-encoding")]
    if codings not in ([], ["chunked"]):
        raise BadReplyError(f"cannot fetch {name}: the body has a transfer coding other than chunked")
