"""Every status that is neither the file nor a redirect, and Retry-After in all its forms."""

from http import HTTPStatus

from tests.faults.fault import End, Fails, Fault, Identical, Retries

BAD_REPLY = Fails("BG_E_INVALID_SERVER_RESPONSE")
REFUSALS = [status.value for status in HTTPStatus if 400 <= status < 500 and status != 407] + [499]
TRANSIENT = {408, 409, 425, 429}
FAILURES = [status.value for status in HTTPStatus if status >= 500] + [520, 599]
FINAL = {501, 505}
ODD_SUCCESSES = (201, 202, 203, 207, 208, 226, 299)
OTHERS: dict[int, End] = {
    101: Retries("BG_E_HTTP_ERROR_101"),
    204: BAD_REPLY,
    205: BAD_REPLY,
    300: Fails("BG_E_HTTP_ERROR_300"),
    304: BAD_REPLY,
    305: Fails("BG_E_HTTP_ERROR_305"),
    306: Retries("BG_E_HTTP_ERROR_306"),
    399: Retries("BG_E_HTTP_ERROR_399"),
    407: Fails("BG_E_HTTP_ERROR_407"),
    999: Retries("BG_E_HTTP_ERROR_999"),
}
RETRY_AFTER = {
    "seconds": "2",
    "date": "{date+2}",
    "past": "{date-3600}",
    "zero": "0",
    "negative": "-5",
    "absurd": "99999999999",
    "absurd-date": "Wed, 01 Jan 9999 00:00:00 GMT",
    "words": "soon",
    "fraction": "1.5",
}


def _end(status: int) -> End:
    code = f"BG_E_HTTP_ERROR_{status}"
    if status in OTHERS:
        return OTHERS[status]
    is_final = status in FINAL or (400 <= status < 500 and status not in TRANSIENT)
    return Fails(code) if is_final else Retries(code)


def _always(status: int) -> Fault:
    # 1xx, 204 and their like have no body, so they cannot be told by the option that sends the file
    script = {"statuses": [status] * 1000} if status in OTHERS else {"status": status}
    return Fault(f"every request is answered with {status}", _end(status), script)


FAULTS = {f"status-{status}": _always(status) for status in [*ODD_SUCCESSES, *OTHERS, *REFUSALS, *FAILURES]}
FAULTS |= {
    f"retry-after-{name}": Fault(
        f"503 once, Retry-After: {text}", Identical(), {"statuses": [503], "retry_after": text}
    )
    for name, text in RETRY_AFTER.items()
}
FAULTS |= {
    "retry-after-an-hour": Fault(
        "429 once, come back in an hour", Retries("BG_E_HTTP_ERROR_429", 1), {"statuses": [429], "retry_after": "3600"}
    ),
    "busy-twice": Fault("503, then 500, then the file", Identical(), {"statuses": [503, 500]}),
    "not-found-with-a-page": Fault(
        "404 with a long page", Fails("BG_E_HTTP_ERROR_404"), {"status": 404, "headers": {"Content-Type": "text/html"}}
    ),
}
