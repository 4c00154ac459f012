"""Secrets to plant in a service, and the search for them wherever somebody who must not have them could look.

Each value has a part that every way of writing it leaves as it is; a password is also looked for as Basic sends it.
"""

import json
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from tests.origin_tls import Certificates

USER = "planted-user"
PASSWORDS = ("server password", "proxy password", "password in a URL", "password in a mirror")
HEADERS = ("Authorization", "Cookie", "X-Api-Key", "header only to be written")
TOKENS = ("token in a query", "token in the query of a mirror")
URLS = frozenset({"remote_name", "mirrors"})
"""Members of documents that show a URL with its query to whoever may see the job."""


class Planted:
    """`[name]` is the secret of that name; `certificate` has the client's, whose private key is one of them."""

    def __init__(self) -> None:
        self._values = {name: f"{secrets.token_hex(12)}/ä: %&" for name in PASSWORDS}
        self._values |= {name: secrets.token_hex(12) for name in HEADERS + TOKENS}
        self.certificate = Certificates().client()
        self._needles = {name: _forms(value) for name, value in self._values.items()}
        self._needles["private key"] = _forms_of_key(self.certificate["private_key"])

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def login(self, name: str) -> dict[str, str]:
        """As a body: the user with the password of that name."""
        return {"user": USER, "password": self[name]}

    def userinfo(self, name: str) -> str:
        """As it stands in a URL."""
        return f"{USER}:{quote(self[name], safe='')}@"

    def found(self, data: bytes) -> set[str]:
        """Names of the secrets in there."""
        return {name for name, needles in self._needles.items() if any(needle in data for needle in needles)}

    def found_in_documents(self, documents: Iterable[object], but: frozenset[str] = URLS) -> set[str]:
        """Names of the secrets in them, outside of the members `but`."""
        return self.found("\n".join(json.dumps(_without(one, but)) for one in documents).encode())

    def found_on_disk(self, folder: Path) -> dict[str, set[str]]:
        """By file: everything below the folder."""
        paths = [path for path in folder.rglob("*") if path.is_file()]
        return {path.name: found for path in paths if (found := self.found(path.read_bytes()))}

    def found_in_process(self, pid: int) -> set[str]:
        """In what `ps` shows of it."""
        return self.found(Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes())


def _forms(value: str) -> list[bytes]:
    plain = re.match("[0-9a-f]+", value)
    assert plain is not None
    return [plain[0].encode(), b64encode(f"{USER}:{value}".encode()).rstrip(b"=")[:-1]]


def _forms_of_key(pem: str) -> list[bytes]:
    lines = pem.strip().splitlines()[1:-1]
    raw = b64decode("".join(lines))
    pieces = [raw[at : at + 16] for at in range(0, len(raw) - 15, 16)]
    return [line.encode() for line in lines if len(line) == 64] + pieces


def _without(document: object, but: frozenset[str]) -> object:
    match document:
        case dict():
            return {name: _without(value, but) for name, value in document.items() if name not in but}
        case list() | tuple():
            return [_without(value, but) for value in document]
        case _:
            return document
