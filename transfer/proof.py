"""What proves that a server still has the version whose bytes are on disk: the rules of going on. Pure.

A strong validator proves it (RFC 9110 §13.1.5); where a digest of the whole file decides at the end, its size is
enough to go on; and the owner may accept the same size and equal bytes in an overlap. Nothing else does
(spec/service.md §5.2).
"""

from dataclasses import replace

from transfer.redirects import carried
from transfer.request import Terms, TlsTerms, TransferRequest, Validators
from transfer.segments import held_of_piece

OVERLAP = 65_536
"""Bytes that are fetched again and compared when nothing else tells whether the file is the same."""


class Held:
    """The version that the bytes in the part file belong to, and the URL they came from."""

    def __init__(self, request: TransferRequest, *, is_resumed: bool) -> None:
        self._request = request
        self._origin = request.fetched_from or request.urls[0]
        self.version = request.validators
        if not is_resumed:
            self.forget()

    def forget(self) -> None:
        """Nothing is held any more; what kind of file it was is still known."""
        self.version = Validators(media_type=self.version.media_type)

    def accept(self, url: str, seen: Validators, position: int) -> None:
        """`url` answered with the version `seen`, which goes on at local `position` of what is held."""
        known = self.version if position else Validators()
        is_same = url == self._origin
        has_date = seen.last_modified is not None
        dated = seen if has_date or not is_same else known
        self.version = Validators(
            etag=seen.etag or (known.etag if is_same else None),
            last_modified=dated.last_modified,
            size=known.size if seen.size is None else seen.size,
            is_date_weak=dated.is_date_weak,
            media_type=seen.media_type or known.media_type,
            digest=seen.digest or known.digest,
        )
        self._origin = url

    def complete(self, size: int) -> None:
        """The server did not say how long the file is; now it is known."""
        self.version = replace(self.version, size=size)

    @property
    def has_digest(self) -> bool:
        """At the end a digest will tell whether the bytes are the right ones."""
        return bool(self._request.digest or (self.version.digest and not self._request.ranges))

    def proof(self, url: str, position: int) -> Validators | None:
        """What the next reply of `url` must agree with so that it may go on at `position`; None = start over."""
        known = self.version
        is_same = url == self._origin
        if position == 0:
            return Validators(media_type=known.media_type)
        if known.strong and (is_same or not (self.has_digest or known.size is None)):
            return known
        if known.size is None:
            return None
        if self.has_digest:
            return replace(known, etag=None, last_modified=None)
        is_enough = self._request.may_resume_unvalidated or held_of_piece(self._request.ranges, position) == 0
        return known if is_same and is_enough else None

    def overlap(self, proof: Validators, position: int) -> int:
        """How many bytes before local `position` are asked for again, to be compared with those on disk."""
        if proof.strong or self.has_digest:
            return 0
        return min(OVERLAP, held_of_piece(self._request.ranges, position))

    @property
    def needs_recheck(self) -> bool:
        """Ranges were fetched one after another with nothing to tell whether the file changed in between."""
        is_several = len(self._request.ranges) > 1
        return is_several and not (self.version.strong or self.has_digest)


def terms_for(request: TransferRequest, url: str) -> Terms:
    """How to deal with the server of `url`: secrets go where they are meant for, and to the owner's own mirrors."""
    terms = request.terms
    if url == request.urls[0]:
        return terms
    headers = carried(terms.headers, request.urls[0], url)
    if url in request.urls:
        return replace(terms, headers=headers)
    for_proxies = tuple(credential for credential in terms.credentials if credential.target == "PROXY")
    return replace(terms, headers=headers, tls=TlsTerms(terms.tls.forgiven), credentials=for_proxies)
