"""Secrets of a job: credentials and the client certificate. They go in and are never given out (§1.2, §6.1)."""

import asyncio

from daemon.api.call import Call, Reply
from daemon.api.problem import field_error
from daemon.api.remote_names import check_password, check_user
from daemon.schema import CertificateBody, CredentialBody
from jobqueue.secrets import Credential

TARGETS = frozenset({"SERVER", "PROXY"})
SCHEMES = frozenset({"BASIC", "DIGEST"})
UNSUPPORTED = frozenset({"NTLM", "NEGOTIATE", "PASSPORT"})
"""Schemes of the emulated service that have no place here (§0.1)."""


async def put_credential(call: Call) -> Reply:
    """PUT credentials."""
    target, scheme = _place(call)
    body = call.body(CredentialBody)
    if not body.user:
        raise field_error("user", "a credential has a user name")
    check_user(body.user, scheme, "user")
    check_password(body.password, "password")
    await call.backend.vault.put_credential(
        call.job_id, call.guard, Credential(target, scheme, body.user, body.password)
    )
    return Reply(None, 204)


async def remove_credential(call: Call) -> Reply:
    """DELETE credentials."""
    await call.backend.vault.remove_credential(call.job_id, call.guard, *_place(call))
    return Reply(None, 204)


async def put_certificate(call: Call) -> Reply:
    """PUT client-certificate."""
    from daemon.api.certificate import parse_certificate  # 9 MiB that most never need

    body = call.body(CertificateBody)
    certificate, facts = await asyncio.to_thread(parse_certificate, body.certificate, body.private_key)
    await call.backend.vault.put_certificate(call.job_id, call.guard, certificate, facts)
    return Reply(None, 204)


async def remove_certificate(call: Call) -> Reply:
    """DELETE client-certificate."""
    await call.backend.vault.remove_certificate(call.job_id, call.guard)
    return Reply(None, 204)


def _place(call: Call) -> tuple[str, str]:
    target, scheme = call.request.match_info["target"].upper(), call.request.match_info["scheme"].upper()
    if target not in TARGETS:
        raise field_error("target", "credentials are for the target server or proxy", "BG_E_INVALID_AUTH_TARGET")
    if scheme in UNSUPPORTED:
        raise field_error("scheme", f"cannot use the scheme {scheme.lower()}: only basic and digest", "E_NOTIMPL")
    if scheme not in SCHEMES:
        raise field_error("scheme", "credentials are for the scheme basic or digest", "BG_E_INVALID_AUTH_SCHEME")
    return target, scheme
