"""Job, File and JobSecrets to and from the text a row keeps: the members that are not as they are by default.

What is not in a text reads as its default, so a record may gain fields, and a job at rest takes little room.

What may hold a secret is sealed: custom headers, credentials, the query of every URL (it may be a signed one), a
server's headers with such a URL in them. A value sealed with a key that is lost reads as if it were not there, a URL as
what is before its query (jobqueue/lost.py sees to it that nothing is fetched with that).
"""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from operator import attrgetter
from typing import Any

from jobqueue.job import File, Job, JobError, Owner, Priority, Properties, State, Timers, Totals
from jobqueue.secrets import ClientCertificate, Credential, JobSecrets, Seal

_dumped = json.JSONEncoder(separators=(",", ":")).encode


class _Members:
    """The members of a kind of record, but for those that somebody else writes."""

    def __init__(self, kind: type, *others: str) -> None:
        own = [item for item in fields(kind) if item.name not in others]
        self._names = tuple(item.name for item in own)
        self._values = attrgetter(*self._names)
        self._defaults = tuple(
            item.default if item.default_factory is MISSING else item.default_factory() for item in own
        )

    def of(self, record: object) -> dict[str, Any]:
        """Those that are not as they are by default."""
        known = zip(self._names, self._values(record), self._defaults, strict=True)
        return {name: value for name, value, default in known if value is not default and value != default}


_OWNER, _PROPERTIES, _TIMERS, _TOTALS, _ERROR = map(_Members, (Owner, Properties, Timers, Totals, JobError))
_JOB = _Members(Job, "row", "owner", "properties", "timers", "totals", "error")
_FILE = _Members(File)


class Records:
    """The translation, with the seal of one store."""

    def __init__(self, seal: Seal) -> None:
        self.seal = seal

    def job_to_text(self, job: Job) -> str:
        """The whole record but for `row`, which is the store's to give."""
        data = _JOB.of(job)
        data["owner"] = _OWNER.of(job.owner)
        data["properties"] = properties = _PROPERTIES.of(job.properties)
        data["timers"] = _TIMERS.of(job.timers)
        data["totals"] = _TOTALS.of(job.totals)
        if job.properties.custom_headers is not None:
            properties["custom_headers"] = {"sealed": self.seal.seal(job.properties.custom_headers)}
        if job.error is not None:
            data["error"] = _ERROR.of(job.error) | {"remote_name": self._hidden(job.error.remote_name)}
        return _dumped(data)

    def job_from_text(self, text: str, row: int) -> Job:
        """The inverse of job_to_text."""
        data = json.loads(text)
        properties = data["properties"]
        if "priority" in properties:
            properties["priority"] = Priority(properties["priority"])
        if "custom_headers" in properties:
            properties["custom_headers"] = self._shown(properties["custom_headers"])
        for name in ("notify_flags", "notify_command", "security_flags"):
            if properties.get(name) is not None:
                properties[name] = tuple(properties[name])
        data["row"] = row
        if "state" in data:
            data["state"] = State(data["state"])
        data["owner"] = Owner(**data["owner"])
        data["properties"] = Properties(**properties)
        data["timers"] = Timers(**data["timers"])
        data["totals"] = Totals(**data["totals"])
        if data.get("error") is not None:
            data["error"]["remote_name"] = self._shown(data["error"]["remote_name"])
            data["error"] = JobError(**data["error"])
        return Job(**data)

    def file_to_text(self, file: File) -> str:
        """The whole record."""
        data = _in_urls(_FILE.of(file), self._hidden)
        if "?" in (file.response_headers or ""):
            data["response_headers"] = {"sealed": self.seal.seal(file.response_headers or "")}
        return _dumped(data)

    def file_from_text(self, text: str) -> File:
        """The inverse of file_to_text."""
        data = _in_urls(json.loads(text), self._shown)
        data.pop("boot", None)  # of records from before there were checksums
        if "response_headers" in data:
            data["response_headers"] = self._shown(data["response_headers"])
        if "ranges" in data:
            data["ranges"] = tuple((offset, length) for offset, length in data["ranges"])
        if "pieces" in data:
            data["pieces"] = tuple((start, end, checksum) for start, end, checksum in data["pieces"])
        return File(**data)

    def secrets_to_text(self, secrets: JobSecrets) -> str:
        """Sealed as a whole."""
        return self.seal.seal(_dumped(asdict(secrets)))

    def secrets_from_text(self, text: str) -> JobSecrets:
        """The inverse of secrets_to_text."""
        opened = self.seal.unseal(text)
        if opened is None:
            return JobSecrets()
        data = json.loads(opened)
        certificate = data["certificate"]
        return JobSecrets(
            tuple(Credential(**credential) for credential in data["credentials"]),
            None if certificate is None else ClientCertificate(**certificate),
        )

    def _hidden(self, url: str | None) -> Any:  # noqa: ANN401 - what JSON takes
        start = re.search("[?#]", url or "")
        if url is None or start is None:
            return url
        return {"base": url[: start.start()], "sealed": self.seal.seal(url[start.start() :])}

    def _shown(self, value: Any) -> str | None:  # noqa: ANN401 - what JSON gives
        if not isinstance(value, dict):
            return value  # type: ignore[no-any-return]  # text or null, as it was written
        opened = self.seal.unseal(value["sealed"])
        return value["base"] + (opened or "") if "base" in value else opened


def _in_urls(data: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    for name in ("remote_name", "fetched_from"):
        if name in data:
            data[name] = change(data[name])
    if "mirrors" in data:
        data["mirrors"] = tuple(change(url) for url in data["mirrors"])
    return data
