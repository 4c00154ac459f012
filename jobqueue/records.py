"""Job, File and JobSecrets to and from the text a row keeps. A field a record gained later reads as its default.

What may hold a secret is sealed: custom headers, credentials, the query of every URL (it may be a signed one), a
server's headers with such a URL in them. A value sealed with a key that is lost reads as if it were not there, a URL as
what is before its query (jobqueue/lost.py sees to it that nothing is fetched with that).
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from jobqueue.job import File, Job, JobError, Owner, Priority, Properties, State, Timers, Totals
from jobqueue.secrets import ClientCertificate, Credential, JobSecrets, Seal


class Records:
    """The translation, with the seal of one store."""

    def __init__(self, seal: Seal) -> None:
        self.seal = seal

    def job_to_text(self, job: Job) -> str:
        """The whole record; `row` is the store's to give and ignored when read."""
        data = asdict(job)
        if job.properties.custom_headers is not None:
            data["properties"]["custom_headers"] = {"sealed": self.seal.seal(job.properties.custom_headers)}
        if job.error is not None and job.error.remote_name is not None:
            data["error"]["remote_name"] = self._hidden(job.error.remote_name)
        return _dumped(data)

    def job_from_text(self, text: str, row: int) -> Job:
        """The inverse of job_to_text."""
        data = json.loads(text)
        properties = data["properties"]
        properties["priority"] = Priority(properties["priority"])
        properties["custom_headers"] = self._shown(properties["custom_headers"])
        for name in ("notify_flags", "security_flags"):
            properties[name] = tuple(properties[name])
        if properties["notify_command"] is not None:
            properties["notify_command"] = tuple(properties["notify_command"])
        data["row"] = row
        data["state"] = State(data["state"])
        data["owner"] = Owner(**data["owner"])
        data["properties"] = Properties(**properties)
        data["timers"] = Timers(**data["timers"])
        data["totals"] = Totals(**data["totals"])
        if data["error"] is not None:
            data["error"]["remote_name"] = self._shown(data["error"]["remote_name"])
            data["error"] = JobError(**data["error"])
        return Job(**data)

    def file_to_text(self, file: File) -> str:
        """The whole record."""
        data = _in_urls(asdict(file), self._hidden)
        if "?" in (file.response_headers or ""):
            data["response_headers"] = {"sealed": self.seal.seal(file.response_headers or "")}
        return _dumped(data)

    def file_from_text(self, text: str) -> File:
        """The inverse of file_to_text."""
        data = _in_urls(json.loads(text), self._shown)
        data.pop("boot", None)  # of records from before there were checksums
        data["response_headers"] = self._shown(data["response_headers"])
        data["ranges"] = tuple((offset, length) for offset, length in data["ranges"])
        data["mirrors"] = tuple(data["mirrors"])
        data["pieces"] = tuple((start, end, checksum) for start, end, checksum in data.get("pieces", ()))
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
        data[name] = change(data.get(name))
    data["mirrors"] = [change(url) for url in data["mirrors"]]
    return data


def _dumped(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
