"""The self-check, asked for by a client.

The administrator, and whoever runs the service, asks about everything; others ask about their own jobs.
"""

import os
from dataclasses import asdict

from daemon.api.call import Call, Reply
from daemon.schema import Examine


async def examine(call: Call) -> Reply:
    """POST /v1/doctor."""
    may_see_all = call.caller.is_admin or call.caller.uid == os.geteuid()
    owner_uid = None if may_see_all else call.caller.uid
    found = await call.backend.doctor.examine(owner_uid, fix=call.body(Examine).fix)
    return Reply({"findings": [asdict(finding) for finding in found]})
