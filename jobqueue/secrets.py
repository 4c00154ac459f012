"""What a job knows that nobody may read: credentials and a client certificate (§1.2, §6.5).

Frozen records whose values never show in a repr. At rest they are sealed text (records.py); nothing gives them out but
the dispatcher's own read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from jobqueue.errors import RefusedError


class Seal(Protocol):
    """Makes text unreadable for whoever has the database alone."""

    @property
    def mark(self) -> str:
        """What every text sealed with this key begins with, and none sealed with another."""
        ...

    def seal(self, text: str) -> str:
        """The sealed text: ASCII, another one each time."""
        ...

    def unseal(self, text: str) -> str | None:
        """What was sealed; None when it was sealed with another key."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and password. `target`: SERVER or PROXY; `scheme`: BASIC or DIGEST.

    `origin`: `https://host:port` it is for (it came in a URL), None = every server or proxy the owner named.
    """

    target: str
    scheme: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    origin: str | None = None

    @property
    def place(self) -> tuple[str, str, str | None]:
        """There is one credential for each."""
        return self.target, self.scheme, self.origin


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM texts: the chain, the client's own certificate first, and its key."""

    certificate: str = field(repr=False)
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobSecrets:
    """All secrets of a job; without any it is false."""

    credentials: tuple[Credential, ...] = ()
    certificate: ClientCertificate | None = None

    def __bool__(self) -> bool:
        return bool(self.credentials or self.certificate)

    def put(self, *credentials: Credential) -> "JobSecrets":
        """With these credentials, in place of what was there."""
        new = {credential.place: credential for credential in (*self.credentials, *credentials)}
        return replace(self, credentials=tuple(new.values()))

    def added(self, credentials: Sequence[Credential]) -> "JobSecrets":
        """With credentials that came in the URLs of new files. Raises RefusedError when one server gets two users."""
        known = {credential.place: credential for credential in self.credentials}
        for credential in credentials:
            if known.setdefault(credential.place, credential) != credential:
                raise RefusedError(
                    "E_INVALIDARG",
                    f"cannot use another user name or password for {credential.origin}: the job has one already",
                    field="files",
                )
        return self.put(*credentials)

    def without(self, target: str, scheme: str) -> "JobSecrets":
        """Without those credentials, wherever they were for. Raises RefusedError when there are none."""
        left = tuple(known for known in self.credentials if (known.target, known.scheme) != (target, scheme))
        if left == self.credentials:
            message = f"the job has no {scheme.lower()} credentials for the {target.lower()}"
            raise RefusedError("CREDENTIALS_NOT_FOUND", message)
        return replace(self, credentials=left)
