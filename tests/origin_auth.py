"""Who may have a file: the server side of Basic (RFC 7617) and Digest (RFC 7616), for the origin and the proxy.

Owns the challenges and the check of an answer. Strict where a client may be wrong: realm, nonce, count and target must
be the right ones.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Verdict = Literal["welcome", "stale", "refused"]
_PARAMETER = re.compile(r'([a-zA-Z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


@dataclass(slots=True)
class Auth:
    """The one account, and how it is asked for."""

    user: str = "ann"
    password: str = "pass word:1"
    schemes: tuple[str, ...] = ("Basic",)
    """In this order; what is neither Basic nor Digest is offered and never accepted."""
    algorithms: tuple[str, ...] = ("MD5",)
    """One Digest challenge each; `-sess` may be appended, an empty one is left out (which means MD5)."""
    qop: str = "auth"
    """Empty = none, as in RFC 2069."""
    realm: str = 'a "realm", quoted'
    is_one_field: bool = False
    """All challenges in one field instead of one each."""
    stale_times: int = 0
    """So many right answers come too late: their nonce has just run out."""
    body: bytes = b"who are you?"
    nonces: dict[str, int] = field(default_factory=dict)
    """Those given out, with the highest count seen."""

    def challenges(self, *, is_stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate or Proxy-Authenticate."""
        found: list[str] = []
        realm = 'realm="{}"'.format(self.realm.replace("\\", "\\\\").replace('"', '\\"'))
        for scheme in self.schemes:
            if scheme == "Digest":
                found += [self._digest_challenge(realm, name, is_stale=is_stale) for name in self.algorithms]
            else:
                found.append(f'{scheme} {realm}, charset="UTF-8"' if scheme == "Basic" else scheme)
        return [", ".join(found)] if self.is_one_field else found

    def judge(self, answer: str | None, method: str, target: str) -> Verdict:
        """What an Authorization or Proxy-Authorization of a request for `target` is worth."""
        scheme, _, rest = (answer or "").partition(" ")
        if scheme.lower() == "basic" and "Basic" in self.schemes:
            expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return "welcome" if secrets.compare_digest(rest.strip().encode(), expected.encode()) else "refused"
        if scheme.lower() == "digest" and "Digest" in self.schemes:
            return self._judge_digest(rest, method, target)
        return "refused"

    def _digest_challenge(self, realm: str, algorithm: str, *, is_stale: bool) -> str:
        nonce = secrets.token_hex(8)
        self.nonces[nonce] = 0
        found = f'Digest {realm}, nonce="{nonce}", opaque="o p"'
        found += f', qop="{self.qop}"' if self.qop else ""
        found += f", algorithm={algorithm}" if algorithm else ""
        return found + (", stale=true" if is_stale else "")

    def _judge_digest(self, text: str, method: str, target: str) -> Verdict:
        given = {name.lower(): quoted.replace("\\", "") or plain for name, quoted, plain in _PARAMETER.findall(text)}
        nonce, algorithm, qop = given.get("nonce", ""), given.get("algorithm", ""), given.get("qop", "")
        known = {name.upper() for name in self.algorithms if name} | ({"", "MD5"} & {*self.algorithms, "MD5"})
        is_known = nonce in self.nonces and algorithm.upper() in known and given.get("opaque") == "o p"
        is_meant = bool(qop) == bool(self.qop) and qop in {"", "auth"} and given.get("realm") == self.realm
        if not (is_known and is_meant and _is_same_target(given.get("uri", ""), target)):
            return "refused"
        count = int(given.get("nc", "1"), 16)
        is_replayed = bool(qop) and count <= self.nonces[nonce]
        if is_replayed or given.get("response") != self._response(given, method, algorithm.upper()):
            return "refused"
        self.nonces[nonce] = count
        if self.stale_times:
            self.stale_times -= 1
            del self.nonces[nonce]
            return "stale"
        return "welcome"

    def _response(self, given: dict[str, str], method: str, algorithm: str) -> str:
        """RFC 7616 §3.4.1."""
        name = _HASHES[algorithm.removesuffix("-SESS") or "MD5"]

        def hashed(*parts: str) -> str:
            return hashlib.new(name, ":".join(parts).encode()).hexdigest()

        secret = hashed(self.user, self.realm, self.password)
        if algorithm.endswith("-SESS"):
            secret = hashed(secret, given["nonce"], given.get("cnonce", ""))
        asked = hashed(method, given["uri"])
        if not given.get("qop"):
            return hashed(secret, given["nonce"], asked)
        return hashed(secret, given["nonce"], given.get("nc", ""), given.get("cnonce", ""), given["qop"], asked)


def _is_same_target(uri: str, target: str) -> bool:
    """A proxy sees an absolute address where the origin sees a path: both stand for the same."""
    if uri == target:
        return True
    asked, meant = urlsplit(uri), urlsplit(target)
    return bool(meant.path) and (asked.path, asked.query) == (meant.path, meant.query)
