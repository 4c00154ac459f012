"""Who is challenged, and what was answered: the state of one request's authentication, and the memory between requests.

Owns when to answer, when to give up, and the count of a nonce's uses. How an answer looks is auth.py. Nothing here is
shown or stored; the memory is lost with the process.
"""

import secrets
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from transfer.auth import Challenge, answer, choose, parse
from transfer.redirects import Origin, origin_of
from transfer.request import Credential

MOST_REMEMBERED = 256


@dataclass(slots=True)
class Session:
    """A challenge that is being answered. One cnonce for all its answers: it is part of the key of -sess."""

    challenge: Challenge
    credential: Credential = field(repr=False)
    cnonce: str = field(default_factory=lambda: secrets.token_hex(16))
    count: int = 0


Key = tuple[str, tuple[Credential, ...]]


class Memory:
    """The last challenge by place and credentials: who has others, shares nothing."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Key, Session] = OrderedDict()

    def find(self, key: Key) -> Session | None:
        if key in self._sessions:
            self._sessions.move_to_end(key)
        return self._sessions.get(key)

    def keep(self, key: Key, session: Session) -> None:
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > MOST_REMEMBERED:
            self._sessions.popitem(last=False)

    def forget(self, key: Key) -> None:
        self._sessions.pop(key, None)


class Dialogue:
    """One request and whoever at `place` (an origin or a proxy) may challenge it."""

    def __init__(self, memory: Memory, place: str, credentials: tuple[Credential, ...]) -> None:
        self._memory = memory
        self._key: Key = (place, credentials)
        self._credentials = credentials
        self._session = memory.find(self._key) if credentials else None
        self._has_answered = False
        self._was_stale = False

    def answer(self, method: str, target: str, *, own: str | None = None) -> str | None:
        """What to send now, None = nothing. `own`: the caller's, which goes first until it is refused."""
        session = self._session
        if session is None or (own is not None and not self._has_answered):
            return own
        session.count += 1
        return answer(session.challenge, session.credential, method, target, count=session.count, cnonce=session.cnonce)

    def is_worth_answering(self, challenges: Iterable[str], *, own: str | None = None) -> bool:
        """After a 401 or 407 with these challenges: whether `answer` has something new to say."""
        chosen = choose(parse(challenges), self._credentials)
        if chosen is None:
            return False
        challenge, credential = chosen
        if self._is_refused(challenge, own):
            self._memory.forget(self._key)
            return False
        self._session = Session(challenge, credential)
        self._memory.keep(self._key, self._session)
        self._has_answered = True
        return True

    def _is_refused(self, challenge: Challenge, own: str | None) -> bool:
        """The right answer to this very server was not good enough; an old nonce is excused once."""
        if self._has_answered:
            is_excused = challenge.is_stale and not self._was_stale
            self._was_stale = True
            return not is_excused
        has_sent_password = self._session is not None and own is None and self._session.challenge.scheme == "basic"
        return has_sent_password and challenge.scheme == "basic"


def for_server(credentials: Collection[Credential], url: str, named: str) -> tuple[Credential, ...]:
    """Those that may go to the server of `url`, when the owner named `named`; those for just this origin first."""
    if not credentials:
        return ()
    here = origin_of(url)
    is_home = here == origin_of(named)
    return _eligible(credentials, "SERVER", here, is_general_meant=is_home)


def for_proxy(credentials: Collection[Credential], proxy: str) -> tuple[Credential, ...]:
    """Those that may go to that proxy."""
    return _eligible(credentials, "PROXY", origin_of(proxy), is_general_meant=True)


def _eligible(
    credentials: Iterable[Credential], target: str, here: Origin | None, *, is_general_meant: bool
) -> tuple[Credential, ...]:
    meant = [one for one in credentials if one.target.upper() == target]
    exact = [one for one in meant if one.origin is not None and origin_of(one.origin) == here]
    return tuple(exact + [one for one in meant if one.origin is None and is_general_meant])
