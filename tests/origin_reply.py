"""What the lying origin answers: a plan from a request and a script. Refuses to touch a socket (tests/origin.py)."""

import base64
import hashlib
import random
import re
import time
import zlib
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from tests.origin_content import Body, Fixed
from tests.origin_script import Request, Script

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PLACEHOLDER = re.compile(r"\{(length|size|base|date)([+-]\d+)?\}")
PAGE = b"<!DOCTYPE html><html><title>Welcome</title><body>Please log in to use the network.</body></html>\n"
NOTHING = Fixed(b"")
BODILESS = frozenset({204, 205, 304})

Fields = list[tuple[str, str]]


@dataclass(slots=True)
class Plan:
    """A reply: its head, and bytes `start` to `end` of `content`; what the body does then is up to the script."""

    status: int
    fields: Fields = field(default_factory=list)
    content: Body = NOTHING
    start: int = 0
    end: int = 0
    is_file: bool = False
    """The body is the file's, so the script's faults of bodies apply."""
    has_body: bool = True

    def head(self, version: str = "1.1") -> bytes:
        """As it goes over the wire."""
        phrase = next((s.phrase for s in HTTPStatus if s == self.status), "Whatever")
        lines = [f"HTTP/{version} {self.status} {phrase}", *(f"{name}: {value}" for name, value in self.fields)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def plan(request: Request, script: Script, base: str = "") -> Plan:
    """The reply that is due. Uses up what of the script happens a number of times, and counts the request."""
    now = time.time()
    if script.last_modified == "now" and script.modified is None:
        script.modified = formatdate(now, usegmt=True)
    found = _refusal(request, script) or _other(request, script) or _file(request, script)
    script.served += 1
    if script.date is not None:
        found.fields.insert(0, ("Date", f"{{date{script.date:+d}}}"))
    if found.is_file and (script.framing == "close" or script.http10):
        found.fields.insert(0, ("Connection", "close"))
    found.fields += script.more_fields
    values = {"length": str(found.end - found.start), "size": str(script.content.size), "base": base}

    def filled(match: re.Match[str]) -> str:
        return formatdate(now + int(match[2] or 0), usegmt=True) if match[1] == "date" else values[match[1]]

    found.fields = [(name, PLACEHOLDER.sub(filled, value)) for name, value in found.fields if value]
    return found


def _refusal(request: Request, script: Script) -> Plan | None:
    """The request has something that it should not have, or lacks something."""
    if script.auth is not None:
        verdict = script.auth.judge(request.headers.get("authorization"), request.method, request.path)
        if verdict != "welcome":
            challenges = script.auth.challenges(is_stale=verdict == "stale")
            return _page(401, script.auth.body, *(("WWW-Authenticate", text) for text in challenges))
    if script.gone_after is not None and script.served >= script.gone_after:
        return _page(404, b"it was here")
    if any(name in request.headers for name in script.rejects):
        return _page(400, b"a header field that does not belong here")
    return None


def _other(request: Request, script: Script) -> Plan | None:
    """A reply that is not the file."""
    if script.statuses:
        retry_after = () if script.retry_after is None else (("Retry-After", script.retry_after),)
        return _page(script.statuses.pop(0), b"", *retry_after, *script.headers.items())
    if script.portal_after is not None and script.served >= script.portal_after and script.uses_up("portal_times"):
        if script.portal_redirect is not None:
            return _page(302, b"", ("Location", script.portal_redirect))
        return _page(200, PAGE, ("Content-Type", "text/html; charset=utf-8"))
    if request.hop < script.hops:
        path = request.path.partition("?")[0]
        return _page(script.redirect_status, b"", ("Location", f"{path}?hop={request.hop + 1}"))
    if script.redirect is not None:
        return _page(script.redirect_status, b"", ("Location", script.redirect), *script.headers.items())
    return None


def _page(status: int, body: bytes, *fields: tuple[str, str]) -> Plan:
    length = [] if status in BODILESS else [("Content-Length", str(len(body)))]
    return Plan(status, [*length, *fields], Fixed(body), 0, len(body), has_body=bool(body))


def _file(request: Request, script: Script) -> Plan:
    """The file or a part of it, by what the script makes of ranges."""
    content = script.content
    if script.gzip:
        content = Fixed(_compressed(content))
    etag, last_modified = script.validators
    fields = {"ETag": etag or "", "Last-Modified": last_modified or ""}
    fields["Accept-Ranges"] = "" if script.no_range else "bytes"
    asked = None if script.no_range else RANGE.fullmatch(request.range or "")
    condition = request.headers.get("if-range")
    if condition is not None and not script.ignore_if_range and condition not in {etag, last_modified}:
        asked = None
    reply = Plan(script.status, content=content, end=content.size, is_file=True)
    if asked is not None:
        _narrow(reply, script, int(asked[1]), int(asked[2]) + 1 if asked[2] else content.size, fields)
    elif script.unasked_part is not None and request.range is None:
        reply.status, reply.end = 206, script.unasked_part
        fields["Content-Range"] = f"bytes 0-{script.unasked_part - 1}/{content.size}"
    if script.gzip:
        fields["Content-Encoding"] = "gzip"
    if reply.status not in BODILESS and (script.framing == "length" or not reply.is_file):
        fields["Content-Length"] = str(reply.end - reply.start)
    elif script.framing == "chunked" and reply.is_file:
        fields["Transfer-Encoding"] = "chunked"
    fields |= _digest_fields(reply, script)
    fields |= script.headers
    if asked is not None:
        fields |= script.part_headers
    reply.fields = list(fields.items())
    reply.has_body = reply.has_body and request.method != "HEAD" and reply.status not in BODILESS
    return reply


def _narrow(reply: Plan, script: Script, start: int, end: int, fields: dict[str, str]) -> None:
    """Make `reply` the answer to a Range for `start` up to but not including `end`."""
    size = reply.content.size
    if script.range_status is not None or start >= size:
        reply.status, reply.end, reply.has_body, reply.is_file = script.range_status or 416, 0, False, False
        if reply.status == 416:
            fields["Content-Range"] = f"bytes */{size}" if script.content_range is None else script.content_range
        return
    start = max(0, start + script.range_shift)
    end = min(end, size)
    if script.range_limit is not None:
        end = min(end, start + script.range_limit)
    true_range = f"bytes {start}-{end - 1}/{size}"
    reply.status, reply.start, reply.end = 206, start, end
    if script.multipart:
        part = f"--edge\r\nContent-Range: {true_range}\r\n\r\n".encode() + reply.content.read(start, end)
        reply.content, reply.start = Fixed(part + b"\r\n--edge--\r\n"), 0
        reply.end = reply.content.size
        fields["Content-Type"] = "multipart/byteranges; boundary=edge"
        return
    fields["Content-Range"] = true_range if script.content_range is None else script.content_range


def _digest_fields(reply: Plan, script: Script) -> dict[str, str]:
    if not script.digests:
        return {}
    is_lie = script.uses_up("digest_lies")
    found = {}
    for name in script.digests:
        data = reply.content.read(reply.start, reply.end) if name == "Content-Digest" else script.content.read()
        raw = hashlib.sha256(b"a lie" if is_lie else data).digest()
        text = base64.b64encode(raw).decode()
        found[name] = f"SHA-256={text}" if name == "Digest" else f"sha-256=:{text}:"
    return found


def _compressed(content: Body) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(piece) for piece in content.pieces()) + packer.flush()


def pieces_of(data: bytes, chances: random.Random | None) -> list[bytes]:
    """`data` cut at random places, or whole."""
    if chances is None:
        return [data]
    found, position = [], 0
    while position < len(data):
        length = chances.randint(1, chances.choice((1, 10, 200, 3000, 1 << 15, 1 << 17)))
        found.append(data[position : position + length])
        position += length
    return found
