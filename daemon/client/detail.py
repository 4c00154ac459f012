"""One job, its files, or the service, spelt out for a person: documents in, text out. Prints nothing."""

from collections.abc import Iterable, Mapping

from daemon.client.output import clean, format_duration, format_percent, format_size, format_time, table
from daemon.client.progress import describe_waiting
from daemon.schema import File, Job, Service

_FINISHED = frozenset({"TRANSFERRED", "ACKNOWLEDGED"})


def describe_job(job: Job) -> str:
    """Aligned `name: value` lines; what is unset or default is left out where it says nothing."""
    progress, times = job.progress, job.times
    rows = [
        ("job", job.id),
        ("name", clean(job.display_name)),
        ("description", clean(job.description)),
        ("state", job.state),
        ("waiting", describe_waiting(job)),
        *_error_rows(job),
        ("progress", _progress(job)),
        ("files", f"{progress.files_transferred} of {progress.files_total} transferred"),
        ("priority", job.priority),
        ("owner", f"{clean(job.owner.user)} ({job.owner.uid})"),
        ("created", format_time(times.created)),
        ("modified", format_time(times.modified)),
        ("transferred", format_time(times.transfer_completed) if times.transfer_completed else ""),
        *_setting_rows(job),
        ("revision", str(job.revision)),
    ]
    width = max(len(name) for name, _ in rows) + 1
    return "\n".join(f"{name + ':':{width}} {value}" for name, value in rows if value)


def _progress(job: Job) -> str:
    done, total = job.progress.bytes_transferred, job.progress.bytes_total
    if total is None:
        return f"{format_size(done)}, the whole size is not known yet"
    return (
        f"{format_percent(done, total, is_whole=job.state in _FINISHED)}, {format_size(done)} of {format_size(total)}"
    )


def _error_rows(job: Job) -> list[tuple[str, str]]:
    error = job.error
    if error is None:
        return [("errors", f"{job.error_count} since it was created" if job.error_count else "")]
    where = " -> ".join(clean(name) for name in (error.remote_name, error.local_name) if name)
    status = f", HTTP {error.http_status}" if error.http_status else ""
    return [
        ("error", clean(error.message)),
        ("error code", f"{error.code} {error.hresult}, context {error.context}{status}, at {format_time(error.at)}"),
        ("error file", f"{error.file_index} {where}" if error.file_index is not None else where),
        ("errors", f"{job.error_count} so far"),
    ]


def _setting_rows(job: Job) -> list[tuple[str, str]]:
    notify, proxy = job.notify, job.proxy
    limit = job.maximum_download_size
    return [
        ("retry delay", f"{format_duration(job.minimum_retry_delay)} at least"),
        ("no progress", _patience(job.no_progress_timeout)),
        ("time limit", f"{format_duration(job.maximum_download_time)} of downloading"),
        ("size limit", format_size(limit) if limit else ""),
        ("notify", ", ".join([*notify.flags, *(["by " + clean(" ".join(notify.command))] if notify.command else [])])),
        ("proxy", "" if proxy.usage == "PRECONFIG" else clean(" ".join(filter(None, (proxy.usage, proxy.list))))),
        ("security", ", ".join(job.security_flags)),
        ("cost policy", "" if job.cost_policy == "ALWAYS" else job.cost_policy),
        ("method", "" if job.http_method == "GET" else clean(job.http_method)),
        ("headers", clean("; ".join((job.custom_headers or "").splitlines()))),
        ("certificate", _certificate(job)),
        ("dynamic", "yes" if job.dynamic_content else ""),
    ]


def _certificate(job: Job) -> str:
    shown = job.client_certificate
    return f"{clean(shown.subject)}, valid until {format_time(shown.not_after)}" if shown else ""


def describe_files(files: Iterable[File]) -> str:
    """A table of files; a finished one is under its local name, before that in its temporary file."""
    rows = [
        (str(file.index), _where(file), _amount(file), clean(file.local_name), clean(file.remote_name))
        for file in files
    ]
    return table(("#", "STATE", "PROGRESS", "LOCAL NAME", "REMOTE NAME"), rows, right=("#",))


def _where(file: File) -> str:
    if file.progress.completed:
        return "completed"
    return "transferred" if file.transferred else "unfinished"


def _amount(file: File) -> str:
    done, total = file.progress.bytes_transferred, file.progress.bytes_total
    return amount(done, total, is_whole=file.transferred or file.progress.completed)


def amount(done: int, total: int | None, *, is_whole: bool = False) -> str:
    """`45% of 1.2 GiB`, or the bytes alone when the size is not known."""
    if total is None:
        return format_size(done)
    percent = format_percent(done, total, is_whole=is_whole)
    return format_size(total) if percent == "-" else f"{percent} of {format_size(total)}"


def describe_service(service: Service, socket_path: str, states: Mapping[str, int]) -> str:
    """Who answers where, since when, and how many jobs there are in which state."""
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "none"
    rows = [
        ("service", f"{clean(service.name)} {clean(service.version)} (API {clean(service.api)})"),
        ("socket", clean(socket_path)),
        ("up", f"{format_duration(service.uptime)} since {format_time(service.started_at)}"),
        ("features", ", ".join(map(clean, service.features))),
        ("limits", ", ".join(f"{name} {limit}" for name, limit in service.limits.items())),
        ("jobs", counts),
        ("warning", "part of the queue was lost: `bitsctl events --types STATE_LOST`" if service.state_lost else ""),
        ("store", "" if service.store == "ok" else f"{clean(service.store)}: changes are refused"),
    ]
    return "\n".join(f"{name + ':':10}{value}" for name, value in rows if value)


def _patience(seconds: int) -> str:
    return f"an error after {format_duration(seconds)}" if seconds else "every error is final"
