"""Challenges and the answers to them: Basic (RFC 7617) and Digest (RFC 7616, RFC 2069). Pure: no clock, no chance.

Refuses every other scheme, and qop=auth-int: a request here has no body worth protecting. aiohttp's own Digest does
servers only, pins one origin for its life and reads one challenge; its parts are not public.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from transfer.request import Credential

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - RFC 9110 §5.6.2
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|({_TOKEN}))(?=[ \t,]|$)', re.DOTALL)
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t,]|$)(?:[ \t]++[A-Za-z0-9._~+/-]++=*+(?=[ \t]*+(?:,|$)))?+")
_GAP = re.compile(r"[ \t,]*+")
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
LONGEST = 1 << 14
"""Characters of challenges in one reply that are looked at."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in: `scheme` in lower case, `parameters` by lower-case name (the first of each)."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def has_qop(self) -> bool:
        return "qop" in self.parameters

    @property
    def is_stale(self) -> bool:
        """The answer was right, only its nonce is too old (RFC 7616 §3.3)."""
        return self.parameters.get("stale", "").lower() == "true"

    @property
    def is_answerable(self) -> bool:
        if self.scheme == "basic":
            return True
        qops = {qop.strip().lower() for qop in self.parameters.get("qop", "auth").split(",")}
        is_known = self.algorithm.removesuffix("-SESS") in _HASHES
        return self.scheme == "digest" and is_known and "auth" in qops and bool(self.parameters.get("nonce"))


def parse(values: Iterable[str]) -> list[Challenge]:
    """The challenges in WWW-Authenticate or Proxy-Authenticate fields, in order; what cannot be read is left out."""
    found: list[Challenge] = []
    for text in values:
        position, current = 0, None
        while (position := _end(_GAP, text, position)) < min(len(text), LONGEST):
            if parameter := _PARAMETER.match(text, position):
                name, quoted, plain = parameter.groups()
                if current is not None:
                    value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
                    current.parameters.setdefault(name.lower(), value)
                position = parameter.end()
            elif scheme := _SCHEME.match(text, position):
                current = Challenge(scheme[1].lower())
                found.append(current)
                position = scheme.end()
            else:
                comma = text.find(",", position)
                position = len(text) if comma < 0 else comma
    return found


def choose(challenges: Sequence[Challenge], credentials: Sequence[Credential]) -> tuple[Challenge, Credential] | None:
    """The challenge to answer and with what: Digest before Basic, then in the order given (RFC 7616 §3.7)."""
    for scheme in ("digest", "basic"):
        credential = next((one for one in credentials if one.scheme.lower() == scheme), None)
        challenge = next((one for one in challenges if one.scheme == scheme and one.is_answerable), None)
        if challenge is not None and credential is not None:
            return challenge, credential
    return None


def answer(challenge: Challenge, credential: Credential, method: str, target: str, *, count: int, cnonce: str) -> str:
    """The value of (Proxy-)Authorization. `target` as on the request line; `count`: uses of the nonce, this one too."""
    if challenge.scheme == "basic":
        return "Basic " + b64encode(f"{credential.user}:{credential.password}".encode()).decode()
    given, realm, user = challenge.parameters, challenge.parameters.get("realm", ""), credential.user

    def hashed(*parts: str) -> str:
        name = _HASHES[challenge.algorithm.removesuffix("-SESS")]
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = hashed(user, realm, credential.password)
    is_session = challenge.algorithm.endswith("-SESS")
    if is_session:
        secret = hashed(secret, given["nonce"], cnonce)
    middle = (given["nonce"], f"{count:08x}", cnonce, "auth") if challenge.has_qop else (given["nonce"],)
    fields = {"realm": _quoted(realm), "nonce": _quoted(given["nonce"]), "uri": _quoted(target)}
    fields["response"] = _quoted(hashed(secret, *middle, hashed(method, target)))
    fields |= {name: given[name] for name in ("algorithm",) if name in given}
    fields |= {name: _quoted(given[name]) for name in ("opaque",) if name in given}
    if challenge.has_qop:
        fields |= {"qop": "auth", "nc": f"{count:08x}"}
    if challenge.has_qop or is_session:
        fields["cnonce"] = _quoted(cnonce)
    if given.get("userhash", "").lower() == "true":
        fields |= {"username": _quoted(hashed(user, realm)), "userhash": "true"}
    elif not user.isascii() and given.get("charset", "").upper() == "UTF-8":
        fields["username*"] = f"UTF-8''{quote(user, safe='')}"
    else:
        fields["username"] = _quoted(user)
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return position if found is None else found.end()
