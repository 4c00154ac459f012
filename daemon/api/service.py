"""The service itself: who answers, and the document of this API."""

from daemon import __version__
from daemon.api.call import Call, Reply
from daemon.times import rfc3339

FEATURES = ("content", "digest", "events", "idempotency-key", "ranges", "sse")


async def about(call: Call) -> Reply:
    """GET /v1."""
    backend = call.backend
    return Reply(
        {
            "name": "bitsd",
            "version": __version__,
            "api": "v1",
            "instance_id": backend.instance_id,
            "started_at": rfc3339(backend.started_at),
            "uptime": int(backend.queue.clock.now() - backend.running_since),
            "features": list(FEATURES),
            "limits": backend.config.limits.model_dump(),
            "state_lost": False,
        }
    )
