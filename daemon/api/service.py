"""The service itself: who answers, and the document of this API."""

from daemon import __version__
from daemon.api.call import Call, Reply
from daemon.times import rfc3339
from jobqueue.errors import JobQueueError, StoreFullError
from jobqueue.lost import is_state_lost

FEATURES = ("batch", "content", "digest", "events", "idempotency-key", "ranges", "sse")


async def about(call: Call) -> Reply:
    """GET /v1."""
    backend = call.backend
    now = backend.queue.clock.now()
    return Reply(
        {
            "name": "bitsd",
            "version": __version__,
            "api": "v1",
            "instance_id": backend.instance_id,
            "started_at": rfc3339(backend.started_at),
            "uptime": int(now - backend.running_since),
            "features": list(FEATURES),
            "limits": backend.config.limits.model_dump(),
            "state_lost": await backend.queue.read(lambda tx: is_state_lost(tx, now, backend.queue.policy)),
            "store": _store(backend.queue.store.trouble),
        }
    )


def _store(trouble: JobQueueError | None) -> str:
    if trouble is None:
        return "ok"
    return "full" if isinstance(trouble, StoreFullError) else "failed"
