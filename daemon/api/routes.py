"""The route table: every call of the API with who may make it and the shapes that go in and out (docs/api.md §2)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from daemon import schema
from daemon.access import Access
from daemon.api import batch, content, doctor, events, files, jobs, secrets, service
from daemon.api.call import Call, Reply

Handler = Callable[[Call], Awaitable[Reply | web.StreamResponse]]


NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `body` and `query` None = the call takes none; `reply` None = it answers with no document."""

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    reply: type[BaseModel] | None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None

    @property
    def is_content(self) -> bool:
        """It answers with bytes, and to HEAD too."""
        return self.reply is None and self.status != NO_CONTENT


JOB = "/v1/jobs/{id}"
FILE = JOB + "/files/{index}"
CREDENTIALS = JOB + "/credentials/{target}/{scheme}"
CERTIFICATE = JOB + "/client-certificate"
SHARED = Access.OWNER_OR_ADMIN

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1", Access.ANY, service.about, "Who answers", schema.Service),
    Route("POST", "/v1/jobs", Access.ANY, jobs.create, "Create a job", schema.Job, 201, body=schema.CreateJob),
    Route("GET", "/v1/jobs", Access.ANY, jobs.listing, "List jobs", schema.JobList, query=schema.JobQuery),
    Route("GET", JOB, SHARED, jobs.show, "Show a job", schema.Job, query=schema.OneJobQuery),
    Route("PATCH", JOB, SHARED, jobs.change, "Set properties", schema.Job, body=schema.JobProperties),
    Route("GET", f"{JOB}/files", SHARED, files.listing, "List the files", schema.FileList),
    Route("POST", f"{JOB}/files", SHARED, files.add, "Add files", schema.FileList, 201, body=schema.AddFiles),
    Route("GET", FILE, SHARED, files.show, "Show a file", schema.File),
    Route("PATCH", FILE, SHARED, files.change, "Change a file", schema.File, body=schema.FilePatch),
    Route("GET", f"{FILE}/content", Access.OWNER, content.read, "Read a file", None),
    Route(
        "POST",
        f"{JOB}/replace-remote-prefix",
        SHARED,
        jobs.replace_remote_prefix,
        "Exchange the start of every remote name",
        schema.JobPrefixResult,
        body=schema.ReplacePrefix,
    ),
    Route("POST", f"{JOB}/suspend", SHARED, jobs.suspend, "Suspend", schema.JobResult),
    Route("POST", f"{JOB}/resume", SHARED, jobs.resume, "Resume", schema.JobResult),
    Route("POST", f"{JOB}/complete", SHARED, jobs.complete, "Publish what is finished", schema.JobResult),
    Route("POST", f"{JOB}/cancel", SHARED, jobs.cancel, "Remove everything", schema.JobResult),
    Route(
        "POST",
        f"{JOB}/take-ownership",
        Access.ADMIN,
        jobs.take_ownership,
        "Become the owner",
        schema.JobResult,
    ),
    Route(
        "PUT",
        CREDENTIALS,
        Access.OWNER,
        secrets.put_credential,
        "Set credentials",
        None,
        204,
        body=schema.CredentialBody,
    ),
    Route("DELETE", CREDENTIALS, Access.OWNER, secrets.remove_credential, "Remove credentials", None, 204),
    Route(
        "PUT",
        CERTIFICATE,
        Access.OWNER,
        secrets.put_certificate,
        "Set the client certificate",
        None,
        204,
        body=schema.CertificateBody,
    ),
    Route("DELETE", CERTIFICATE, Access.OWNER, secrets.remove_certificate, "Remove the client certificate", None, 204),
    Route("GET", f"{JOB}/wait", SHARED, jobs.wait, "Wait for a state", schema.Job, query=schema.WaitQuery),
    Route("POST", "/v1/batch", SHARED, batch.several, "Many calls in one", schema.BatchResults, body=schema.Batch),
    Route("POST", "/v1/doctor", Access.ANY, doctor.examine, "Self-check", schema.Diagnosis, body=schema.Examine),
    Route("GET", "/v1/events", Access.ANY, events.events, "Events", schema.EventList, query=schema.EventQuery),
)
