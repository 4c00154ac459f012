"""Digests and mirrors that a server sends along: Repr-Digest and Content-Digest (RFC 9530), Digest and Link (RFC 6249).

Pure parsing of hostile text; what cannot be read, or names an algorithm we do not have, is as if it were not there.
Refuses to hash anything (verify.py) and to fetch mirrors (failover.py).
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urljoin

from transfer.source import Head

ALGORITHMS = {
    "sha-512": "sha512",
    "sha-256": "sha256",
    "sha": "sha1",
    "md5": "md5",
}
"""Names on the wire (IANA's registry of digest algorithms) and in hashlib, best first."""
_LENGTHS = {"sha512": 64, "sha256": 32, "sha1": 20, "md5": 16}
MOST_LINKS = 32
_BYTES = re.compile(r"([A-Za-z0-9*][A-Za-z0-9_.*-]*)[ \t]*=[ \t]*:([A-Za-z0-9+/=]*):(?:;[^,]*)?")
_INSTANCE = re.compile(r"([A-Za-z0-9-]+)=([A-Za-z0-9+/=]+)")
_LINK = re.compile(r"<([^<>]*)>((?:[ \t]*;[ \t]*[^\s;,=]+(?:[ \t]*=[ \t]*(?:\"[^\"]*\"|[^\s;,\"]*))?)*)")
_REL = re.compile(r";[ \t]*rel[ \t]*=[ \t]*(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE)

Pairs = tuple[tuple[str, str], ...]


def served_digests(head: Head) -> Pairs:
    """Digests of the whole remote file that the reply carries: hashlib's name and hex digits."""
    found = dict(_instance_digests(head.get_all("digest"))) | dict(_byte_digests(head.get_all("repr-digest")))
    return tuple(sorted(found.items()))


def content_digests(head: Head) -> Pairs:
    """Digests of this reply's own body."""
    return tuple(sorted(dict(_byte_digests(head.get_all("content-digest"))).items()))


def duplicates(head: Head) -> tuple[str, ...]:
    """URLs of the same bytes on other servers, in the server's order (Link with rel=duplicate)."""
    urls: list[str] = []
    for field in head.get_all("link"):
        for found in _LINK.finditer(field):
            rel = _REL.search(found[2])
            if rel is not None and "duplicate" in (rel[1] or rel[2] or "").lower().split():
                try:
                    urls.append(urljoin(head.url, found[1].strip()))
                except ValueError:
                    continue
    return tuple(dict.fromkeys(urls))[:MOST_LINKS]


def _byte_digests(fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`sha-256=:base64:` members of a structured dictionary (RFC 8941 §3.2)."""
    for field in fields:
        for member in field.split(","):
            found = _BYTES.fullmatch(member.strip())
            if found is not None:
                yield from _digest(found[1], found[2])


def _instance_digests(fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`SHA-256=base64` (RFC 3230 §4.3.2, used by RFC 6249)."""
    for field in fields:
        for member in field.split(","):
            found = _INSTANCE.fullmatch(member.strip())
            if found is not None:
                yield from _digest(found[1], found[2])


def _digest(name: str, text: str) -> Iterator[tuple[str, str]]:
    algorithm = ALGORITHMS.get(name.lower())
    if algorithm is None:
        return
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return
    if len(raw) == _LENGTHS[algorithm]:
        yield algorithm, raw.hex()
