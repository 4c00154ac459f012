"""What a job fails with when a connection is not secure: each flaw has its own code, and none is worth another try."""

import pytest

from daemon.dispatch.outcome import failed
from jobqueue.errors import HRESULTS
from tests.builders import a_file, a_job
from transfer.errors import TlsFailedError


@pytest.mark.parametrize(
    ("kind", "code", "hresult"),
    [
        ("UNKNOWN_CA", "ERROR_WINHTTP_SECURE_INVALID_CA", 0x80072F0D),
        ("CERT_CN_INVALID", "ERROR_WINHTTP_SECURE_CERT_CN_INVALID", 0x80072F06),
        ("CERT_DATE_INVALID", "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID", 0x80072F05),
        ("CERT_WRONG_USAGE", "ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE", 0x80072F93),
        ("CLIENT_CERT_NEEDED", "ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED", 0x80072F0C),
        ("", "ERROR_WINHTTP_SECURE_FAILURE", 0x80072F8F),
    ],
)
def test_each_flaw_of_a_secure_connection_is_final_and_has_its_code(kind: str, code: str, hresult: int) -> None:
    outcome = failed(a_job(), a_file(), TlsFailedError("cannot connect", kind), has_moved=False)
    assert (outcome.error.code, outcome.error.hresult, outcome.error.context) == (code, hresult, "GENERAL_TRANSPORT")
    assert HRESULTS[code] == hresult
    assert not outcome.transient
