"""The OpenAPI document: served as it is made, valid, and true of what every route really answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from daemon import schema
from daemon.api.routes import ROUTES
from daemon.openapi import document
from tests.acceptance.stage import Stage, stage
from tests.process import Bitsd, Document

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_JOB = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("openapi")) as made:
        yield made


def flaw(model: type[BaseModel], found: Document) -> str:
    """What is wrong with a reply of this model: missing or additional members, other types; empty = nothing."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}", "components": document()["components"]}
    for error in OAS31Validator(reference).iter_errors(found):
        return f"{error.json_path}: {error.message}"
    shown = model.model_validate(found).model_dump(mode="json", exclude_unset=True)  # drops what the model has not
    if shown != found:
        return f"{json.dumps(found, sort_keys=True)} is not {json.dumps(shown, sort_keys=True)}"
    for job in found["jobs"] if model is schema.JobList else ():
        if problem := flaw(schema.Job, job):
            return problem
    return ""


async def replies(on: Stage) -> AsyncIterator[tuple[str, str, Document]]:
    """Method, path and reply of every route, each from a job for which it does something."""
    seen: list[tuple[str, str, Document]] = []

    async def call(method: str, path: str, job: Document | None = None, body: object = None, query: str = "") -> None:
        real = path.replace("{id}", job["id"] if job else NO_JOB).replace("{index}", "0")
        status, reply = await on.bitsd.call(method, real + query, body)
        (route,) = (route for route in ROUTES if (route.method, route.path) == (method, path))
        assert status == route.status, (method, path, reply)
        seen.append((method, path, reply))

    job_path = "/v1/jobs/{id}"
    failed, waiting, queued = [await on.bring(state) for state in ("ERROR", "TRANSIENT_ERROR", "QUEUED")]
    done = await on.bring("TRANSFERRED", left=0)
    await call("GET", "/v1")
    file: dict[str, Any] = {**on.file(size=10), "digest": {"md5": "0" * 32}, "ranges": [{"offset": 0}]}
    properties = {"custom_headers": "X-A: 1", "notify": {"command": ["a"]}, "files": [file], "resume": True}
    await call("POST", "/v1/jobs", None, {"display_name": "a"} | properties)
    for query in ("", "?include=files", "?changed_since=0", "?limit=1"):
        await call("GET", "/v1/jobs", None, None, query)
    for job in (failed, waiting, queued, done):
        await call("GET", job_path, job)
        await call("GET", job_path, job, None, "?include=files")
        await call("GET", f"{job_path}/files", job)
        await call("GET", f"{job_path}/files/{{index}}", job)
        await call("GET", f"{job_path}/wait", job, None, "?until=ERROR&timeout=0")
    await call("PATCH", job_path, failed, {"description": "x"})
    await call("POST", f"{job_path}/files", failed, {"files": [file]})
    await call("PATCH", f"{job_path}/files/{{index}}", done, {"validated": True})
    await call("POST", f"{job_path}/replace-remote-prefix", failed, {"old": "http://", "new": "https://"})
    await call("POST", f"{job_path}/suspend", queued)
    await call("POST", f"{job_path}/resume", queued)
    await call("POST", f"{job_path}/complete", done)
    await call("POST", f"{job_path}/cancel", waiting)
    if (await on.bitsd.call("POST", f"/v1/jobs/{failed['id']}/take-ownership"))[0] == 200:  # root
        await call("POST", f"{job_path}/take-ownership", failed)
    Path((await on.bitsd.job(failed, include="files"))["files"][0]["temporary_name"]).unlink(missing_ok=True)
    items = [{"op": "create", "body": {"display_name": "b", "files": [file]}}, {"op": "resume", "id": NO_JOB}]
    await call("POST", "/v1/batch", None, {"items": items})
    await call("POST", "/v1/doctor", None, {"fix": False})
    await call("GET", "/v1/events")
    await call("GET", "/v1/events", None, None, f"?job={failed['id']}")
    for entry in seen:
        yield entry


async def test_the_served_document_is_the_one_that_is_made(on: Stage) -> None:
    assert await on.bitsd.ok("GET", "/v1/openapi.json") == json.loads(json.dumps(document()))


async def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


async def test_the_document_has_every_route_of_the_table_and_no_other() -> None:
    documented = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert documented == {(route.method, route.path) for route in ROUTES}
    assert len({route["operationId"] for path in document()["paths"].values() for route in path.values()}) == len(
        ROUTES
    )


async def test_every_route_answers_as_documented(on: Stage) -> None:
    wrong, answered = [], set()
    models = {(route.method, route.path): route.reply for route in ROUTES if route.reply}
    async for method, path, reply in replies(on):
        answered.add((method, path))
        if problem := flaw(models[method, path], reply):
            wrong.append(f"{method} {path}: {problem}")
    assert wrong == []
    missing = set(models) - answered
    assert missing <= {("POST", "/v1/jobs/{id}/take-ownership")}  # which only root may


async def test_every_documented_route_exists_and_refuses_with_a_problem(on: Stage) -> None:
    for route in ROUTES:
        names = {"id": NO_JOB, "index": 0, "target": "server", "scheme": "basic"}
        path = route.path.format_map(names) + "?nonsense=1"
        status, reply = await on.bitsd.call(route.method, path, {"nonsense": 1})
        assert status in {400, 403, 404}, (route, reply)
        assert reply["code"] != "E_NOTIMPL", (route, reply)
        assert flaw(schema.Problem, reply) == ""


async def test_the_reply_of_a_new_service_is_documented_too(tmp_path: Path) -> None:
    async with Bitsd(tmp_path) as bitsd:
        assert flaw(schema.JobList, await bitsd.ok("GET", "/v1/jobs")) == ""
        assert flaw(schema.EventList, await bitsd.ok("GET", "/v1/events")) == ""
        about = await bitsd.ok("GET", "/v1")
        assert flaw(schema.Service, about) == ""
        assert about.keys() == schema.Service.model_fields.keys()
