"""`key=value` words -> the body of a PATCH: which words are text, lists, JSON, or a reset to the default.

Knows the form of the settable properties of api.md §3; whether a value is allowed is the service's to say.
"""

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from daemon.client.session import usage_error

TEXT = frozenset(
    {
        "display_name",
        "description",
        "priority",
        "custom_headers",
        "cost_policy",
        "http_method",
        "proxy.usage",
        "proxy.list",
        "proxy.bypass",
    }
)
FLAGS = frozenset({"security_flags", "notify.flags"})
COMMAND = "notify.command"


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """A merge patch of all the words; `a.b=c` is a member of an object; `key=` and `key=null` reset."""
    patch: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise usage_error(f"'{word}' is not key=value")
        *outer, last = key.split(".")
        place = patch
        for name in outer:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise usage_error(f"'{word}' sets a part of what another word sets whole")
        if last in place:
            raise usage_error(f"'{key}' is given twice")
        place[last] = parse_value(key, text)
    return patch


def parse_value(key: str, text: str) -> object:
    """The value that `text` means for the property `key`; None is its default."""
    if text in {"", "null"}:
        return None
    try:
        value: object = json.loads(text)
    except ValueError:
        value = text
    if key in TEXT:
        return value if isinstance(value, str) else text
    if key in FLAGS and isinstance(value, str):
        return [flag.strip() for flag in value.split(",")]
    if key == COMMAND and not isinstance(value, list):
        return _split(text)
    return value


def header_block(headers: Sequence[str] | None) -> str | None:
    """`Name: value` words as one block of CRLF-ended lines; None without any."""
    if not headers:
        return None
    for header in headers:
        name, colon, _ = header.partition(":")
        if not colon or not name.strip() or "\r" in header or "\n" in header:
            raise usage_error(f"'{header}' is not a header: write 'Name: value'")
    return "".join(f"{header}\r\n" for header in headers)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise usage_error(f"cannot split the command '{text}': {error}") from error
