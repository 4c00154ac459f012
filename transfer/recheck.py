"""The second look at ranges whose server gives nothing to tell one version from another.

Ranges are fetched one after the other. If, after the last came, all others are still what is on disk, then all of them
were there at one moment: the moment the last was read. Owns that comparison; refuses to decide when it is needed.
"""

from collections.abc import Sequence

from transfer.partfile import PartFile
from transfer.reply import Continue, judge
from transfer.source import Ask, Reply, Source


async def are_unchanged(source: Source, asks: Sequence[Ask], part: PartFile) -> bool:
    """Whether the server's answers to `asks` are, one behind the other, what the part file begins with.

    Raises TransferError when they cannot be had.
    """
    offset = 0
    for ask in asks:
        async with source.open(ask) as reply:
            if not isinstance(judge(ask, reply.head), Continue):
                return False
            length = await _same_bytes(reply, part, offset)
        if ask.span is None or ask.span.end is None or length != ask.span.end - ask.span.start:
            return False
        offset += length
    return True


async def _same_bytes(reply: Reply, part: PartFile, offset: int) -> int:
    """How many bytes of the body are the ones in the file from `offset` on; -1 when one is not."""
    length = 0
    async for chunk in reply.chunks:
        if await part.read(offset + length, len(chunk)) != chunk:
            return -1
        length += len(chunk)
    return length
