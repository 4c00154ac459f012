"""HTTP dates (RFC 9110 §5.6.7) as seconds since the epoch. Refuses everything else by answering None."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=64)  # every reply of a second says the same
def parse_http_date(text: str) -> float | None:
    """Seconds since the epoch, or None when `text` is not a date."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
