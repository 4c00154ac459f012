"""What an owner may set, and when: the rules of §1.2 and §5.5-§5.7 on properties, files and ranges. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobqueue.errors import RefusedError
from jobqueue.job import File, Job, Priority, Properties

ONLY_BEFORE_RESUME = ("http_method", "dynamic_content", "maximum_download_size")
MAX_PROXY = 4000
OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "range",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
    }
)
"""Headers that the transfer itself must be sure of; a job cannot set them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of `[limits]` in config.toml; 0 = no limit. Root is exempt from all of them."""

    jobs_per_user: int
    jobs_per_machine: int
    files_per_job: int
    ranges_per_file: int


def set_properties(job: Job, values: Mapping[str, object]) -> Job:
    """The job with these members of Properties changed. Raises RefusedError naming the field."""
    current = job.properties
    if job.resumed:
        for name in ONLY_BEFORE_RESUME:
            if name in values and not (name == "http_method" and values[name] == current.http_method):
                raise RefusedError(
                    "BG_E_READ_ONLY_PROPERTY_AFTER_RESUME", f"cannot set {name}: the job was resumed before", field=name
                )
    if current.custom_headers_write_only and values.get("custom_headers_write_only") is False:
        raise RefusedError(
            "BG_E_READ_ONLY_PROPERTY",
            "cannot make custom headers readable again: the setting is one-way",
            field="custom_headers_write_only",
        )
    wanted = replace(current, **values)  # type: ignore[arg-type]  # names and types were checked at the wire
    return replace(job, properties=_fitted(wanted, values))


def new_properties(values: Mapping[str, object]) -> Properties:
    """Those of a new job, which must have a display_name. Raises RefusedError naming the field."""
    return _fitted(Properties(**values), values)  # type: ignore[arg-type]  # as above


def _fitted(wanted: Properties, values: Mapping[str, object]) -> Properties:
    """What was `wanted` by setting these values, with what follows from it."""
    if wanted.http_method != "GET":
        if values.get("priority", Priority.FOREGROUND) is not Priority.FOREGROUND:
            raise RefusedError(
                "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD",
                f"cannot set priority: a job with method {wanted.http_method} runs at FOREGROUND",
                field="priority",
            )
        wanted = replace(wanted, priority=Priority.FOREGROUND)
    check_properties(wanted)
    return wanted


def check_properties(properties: Properties) -> None:
    """Raise RefusedError when the values do not fit together."""
    if properties.http_method != "GET" and properties.dynamic_content:
        raise RefusedError(
            "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD",
            "cannot combine dynamic_content with a custom http_method",
            field="dynamic_content",
        )
    if properties.maximum_download_size is not None and properties.maximum_download_size < 1:
        raise RefusedError(
            "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE",
            "cannot set maximum_download_size below 1 byte",
            field="maximum_download_size",
        )
    if len({"REDIRECT_DISALLOW", "REDIRECT_ALLOW_REPORT", "REDIRECT_ALLOW_SILENT"} & {*properties.security_flags}) > 1:
        raise RefusedError("E_INVALIDARG", "cannot set more than one redirect policy", field="security_flags")
    _check_proxy(properties)
    parse_headers(properties.custom_headers or "")


def _check_proxy(properties: Properties) -> None:
    is_override = properties.proxy_usage == "OVERRIDE"
    if is_override and not properties.proxy_list:
        raise RefusedError("E_INVALIDARG", "cannot override the proxy without a list of proxies", field="proxy.list")
    for field, code, value in (
        ("proxy.list", "BG_E_PROXY_LIST_TOO_LARGE", properties.proxy_list),
        ("proxy.bypass", "BG_E_PROXY_BYPASS_LIST_TOO_LARGE", properties.proxy_bypass),
    ):
        if "@" in (value or ""):
            raise RefusedError(
                "E_INVALIDARG",
                f"cannot set {field} with a user name or password in it: they are the job's credentials/proxy",
                field=field,
            )
        if value is not None and not is_override:
            raise RefusedError("E_INVALIDARG", f"cannot set {field}: only usage OVERRIDE takes it", field=field)
        if value is not None and len(value) > MAX_PROXY:
            raise RefusedError(
                code, f"cannot set {field}: at most {MAX_PROXY} characters", field=field, limit=MAX_PROXY
            )


def parse_headers(text: str) -> dict[str, str]:
    """`Name: value` lines, each ended by CRLF (a bare LF is taken too). Raises RefusedError; the value is not shown."""
    headers: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").rstrip("\n").split("\n"), 1) if text else ():
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise RefusedError("E_INVALIDARG", f"custom header {number} is not 'Name: value'", field="custom_headers")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise RefusedError(
                "E_INVALIDARG", f"custom header {name} holds a control character", field="custom_headers"
            )
        if name.lower() in OURS:
            raise RefusedError("E_INVALIDARG", f"cannot set header {name}: the service sets it", field="custom_headers")
        if name.lower() in {known.lower() for known in headers}:
            raise RefusedError("E_INVALIDARG", f"custom header {name} is given twice", field="custom_headers")
        headers[name] = value.strip()
    return headers


def check_files(job: Job, files: Sequence[File], limits: Limits, *, is_exempt: bool) -> None:
    """Raise RefusedError when these files cannot be added to the job (all of them or none)."""
    limit = limits.files_per_job
    if not is_exempt and limit and job.totals.files + len(files) > limit:
        raise RefusedError(
            "BG_E_TOO_MANY_FILES_IN_JOB", f"cannot add {len(files)} files: a job has at most {limit}", limit=limit
        )
    for number, file in enumerate(files):
        field = f"files.{number}.ranges"
        if not file.ranges:
            continue
        if job.properties.dynamic_content:
            raise RefusedError(
                "BG_E_UNSUPPORTED_JOB_CONFIGURATION", "cannot add ranges to a job with dynamic_content", field=field
            )
        limit = limits.ranges_per_file
        if not is_exempt and limit and len(file.ranges) > limit:
            raise RefusedError(
                "BG_E_TOO_MANY_RANGES_IN_FILE", f"a file has at most {limit} ranges", field=field, limit=limit
            )
        check_ranges(file.ranges, field)


def check_ranges(ranges: Sequence[tuple[int, int | None]], field: str) -> None:
    """Raise RefusedError when two ranges share a byte (§5.7: sorted by offset alone, as given for equal offsets)."""
    end: int | None = 0
    for offset, length in sorted(ranges, key=lambda item: item[0]):
        if end is None or offset < end:
            raise RefusedError("BG_E_OVERLAPPING_RANGES", f"two ranges share the byte at {offset}", field=field)
        end = None if length is None else offset + length
