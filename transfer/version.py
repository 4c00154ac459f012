"""Which version of a remote file a reply head speaks of, and whether two of them are the same.

Pure (RFC 9110 §8.8, §15.3.7; spec/service.md §5.2). Refuses to decide what follows from it (reply.py).
"""

import re

from transfer.dates import parse_http_date
from transfer.errors import GarbledReplyError, shown
from transfer.integrity import served_digests
from transfer.request import Validators
from transfer.source import Head

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def is_whole_number(text: str) -> bool:
    """Decimal digits, few enough to be a size or a time."""
    return _NUMBER.fullmatch(text) is not None


def content_length(head: Head) -> int | None:
    """Bytes the body is said to have, None = not said. Raises GarbledReplyError when it contradicts itself.

    The same number twice is one number (RFC 9112 §6.3).
    """
    texts = {text.strip() for field in head.get_all("content-length") for text in field.split(",")}
    if not texts:
        return None
    text = texts.pop()
    if texts or not is_whole_number(text):
        raise GarbledReplyError(f"cannot fetch {shown(head.url)}: the reply contradicts itself about its length")
    return int(text)


def validators_of(head: Head, size: int | None) -> Validators:
    """What the head says of its version; `size` of the whole file as the caller read it."""
    last_modified = head.get("last-modified")
    return Validators(
        etag=head.get("etag") or None,
        last_modified=last_modified or None,
        size=size,
        is_date_weak=_is_weak(last_modified, head) if last_modified else False,
        media_type=(head.get("content-type") or "").partition(";")[0].strip().lower() or None,
        digest=served_digests(head),
    )


def _is_weak(last_modified: str, head: Head) -> bool:
    """The file could have changed again within the same second (§8.8.2.2). Without Date the receipt counts (§6.6.1)."""
    changed = parse_http_date(last_modified)
    sent = parse_http_date(head.get("date") or "")
    return changed is None or (head.received if sent is None else sent) - changed < 1


def is_changed(known: Validators, seen: Validators) -> bool:
    """The reply with `seen` may be of another version than `known`, or no longer proves to be of the same."""
    if known.strong is None and known.size is not None and seen.size is None:
        return True  # the size is all there is to go by
    if known.size is not None and seen.size is not None and known.size != seen.size:
        return True
    promised = dict(known.digest)
    if any(promised.get(name, digest) != digest for name, digest in seen.digest):
        return True
    if known.etag is not None and seen.etag != known.etag:
        return True
    if known.last_modified is None or seen.last_modified == known.last_modified:
        return False
    # A 206 to If-Range need not repeat Last-Modified (RFC 9110 §15.3.7); the same strong ETag then is proof enough.
    return seen.last_modified is not None or known.strong is None or known.strong != known.etag


def is_proven(known: Validators, seen: Validators) -> bool:
    """`seen` is the very version of `known`: the same strong validator and nothing that speaks against it."""
    if known.strong is None or is_changed(known, seen):
        return False
    return seen.strong == known.strong
