"""Files of a job: list, add, show, and what may change of one."""

from daemon.api.call import Call, Reply
from daemon.api.jobs import check_may_log_in, checked_files
from daemon.api.problem import field_error
from daemon.api.remote_names import parse_remote_name
from daemon.schema import AddFiles, FilePatch


async def listing(call: Call) -> Reply:
    """GET files."""
    job = await call.job()
    files = await call.backend.queue.read(lambda tx: tx.files(job.id))
    return Reply({"files": [call.backend.documents.file(job.id, file) for file in files]})


async def add(call: Call) -> Reply:
    """POST files."""
    job = await call.job()
    files, credentials = await checked_files(call, job.owner, call.body(AddFiles).files)
    check_may_log_in(call, job, credentials)
    is_exempt = call.caller.is_admin
    added = await call.backend.queue.add_files(job.id, call.guard, files, credentials, is_exempt=is_exempt)
    return Reply({"files": [call.backend.documents.file(job.id, file) for file in added]}, 201)


async def show(call: Call) -> Reply:
    """GET one file."""
    job = await call.job()
    file = await call.backend.queue.read(lambda tx: tx.file(job.id, call.index))
    return Reply(call.backend.documents.file(job.id, file))


async def change(call: Call) -> Reply:
    """PATCH one file: a new URL or the owner's verdict, one at a time."""
    body = call.body(FilePatch)
    queue = call.backend.queue
    if body.model_fields_set == {"remote_name"} and body.remote_name is not None:
        job = await call.job()
        url, credentials = parse_remote_name(body.remote_name, "remote_name")
        check_may_log_in(call, job, credentials)
        file = await queue.set_remote_name(call.job_id, call.index, call.guard, url, credentials)
    elif body.model_fields_set == {"validated"} and body.validated is not None:
        file = await queue.validate(call.job_id, call.index, call.guard, is_valid=body.validated)
    else:
        raise field_error("remote_name", "set either remote_name or validated, to a value")
    return Reply(call.backend.documents.file(call.job_id, file))
