"""Errors as RFC 9457 documents with the service's stable codes. The one place where an exception gets its status."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from jobqueue.errors import HRESULTS, JobQueueError, RefusedError

_STATUS = {
    "BG_E_NOT_FOUND": 404,
    "BG_E_FILE_NOT_FOUND": 404,
    "CREDENTIALS_NOT_FOUND": 404,
    "E_ACCESSDENIED": 403,
    "BG_E_INVALID_STATE": 409,
    "BG_E_EMPTY": 409,
    "E_PENDING": 409,
    "E_LOCAL_FILE": 409,
    "REVISION_CONFLICT": 409,
    "IDEMPOTENCY_CONFLICT": 409,
    "NOT_CARRIED_OUT": 424,
    "EVENTS_TRUNCATED": 410,
    "CONTENT_GONE": 410,
    "SERVICE_UNAVAILABLE": 503,
    "STORE_FAILED": 503,
    "STORE_FULL": 507,
    "E_FAIL": 500,
}
MAX_ERRORS = 1000
MAX_FIELD = 200
"""Characters of a field's name that a reply repeats."""
_CHOICES = {"op", "priority", "notify", "flags", "proxy", "usage", "security_flags", "cost_policy"}
"""Fields of enumerations: an undefined value is E_NOTIMPL there (§1.2)."""


def status_of(code: str) -> int:
    """The HTTP status of a code: 400 unless it says more."""
    if code.startswith("BG_E_TOO_MANY"):
        return 429
    return 409 if code.endswith("_AFTER_RESUME") else _STATUS.get(code, 400)


def problem(
    code: str, detail: str, facts: Mapping[str, object] = MappingProxyType({}), *, status: int | None = None
) -> web.Response:
    """The reply for a refused request; `facts` are further members of the document."""
    return response(document(code, detail, facts, status=status))


def document(
    code: str, detail: str, facts: Mapping[str, object] = MappingProxyType({}), *, status: int | None = None
) -> dict[str, Any]:
    """The document of a refused request."""
    return {
        "type": "about:blank",
        "title": code.removeprefix("BG_E_").removeprefix("E_").replace("_", " ").capitalize(),
        "status": status or status_of(code),
        "detail": detail,
        "code": code,
        "hresult": f"0x{HRESULTS[code]:08X}",
        **{name: value for name, value in facts.items() if value is not None},
    }


def response(document: Mapping[str, Any]) -> web.Response:
    """The reply that has this document."""
    return web.Response(
        status=document["status"],
        body=json.dumps(document).encode(),
        content_type="application/problem+json",
    )


def document_of(error: JobQueueError) -> dict[str, Any]:
    """For a call that the queue refused."""
    return document(error.code, str(error), error.facts)


def refusal_of(error: ValidationError) -> RefusedError:
    """For a request of the wrong shape: the first thing wrong with it, by field."""
    if error.error_count() > MAX_ERRORS:  # telling even the first means building them all
        return RefusedError("E_INVALIDARG", f"{error.error_count()} members of the request are wrong")
    first = error.errors(include_url=False, include_input=False)[0]
    where = [str(part) for part in first["loc"]]
    field = ".".join(where)[:MAX_FIELD]
    if first["type"] == "json_invalid":
        return RefusedError("E_INVALIDARG", f"the body is not valid JSON: {first['msg']}")
    if first["type"] == "extra_forbidden":
        return RefusedError("E_INVALIDARG", f"there is no field {field}", field=field)
    code = "E_INVALIDARG"
    if first["type"] in HRESULTS:
        code = first["type"]
    elif first["type"] == "literal_error" and _CHOICES & set(where):
        code = "E_NOTIMPL"
    return RefusedError(code, f"{field}: {first['msg']}" if field else str(first["msg"]), field=field or None)


def field_error(field: str, message: str, code: str = "E_INVALIDARG") -> RefusedError:
    """A refusal that names the field."""
    return RefusedError(code, message, field=field)
