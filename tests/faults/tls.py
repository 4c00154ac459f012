"""Connections that cannot be trusted, by kind, and what each relaxation forgives (spec/service.md §5.4)."""

from tests.faults.fault import End, Fails, Fault, Identical, Retries

CODES = {
    "expired": "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID",
    "early": "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID",
    "other-name": "ERROR_WINHTTP_SECURE_CERT_CN_INVALID",
    "unknown-ca": "ERROR_WINHTTP_SECURE_INVALID_CA",
    "self-signed": "ERROR_WINHTTP_SECURE_INVALID_CA",
    "client-only": "ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE",
}
FLAGS = {
    "SSL_IGNORE_CERT_DATE_INVALID": "ERROR_WINHTTP_SECURE_CERT_DATE_INVALID",
    "SSL_IGNORE_CERT_CN_INVALID": "ERROR_WINHTTP_SECURE_CERT_CN_INVALID",
    "SSL_IGNORE_UNKNOWN_CA": "ERROR_WINHTTP_SECURE_INVALID_CA",
    "SSL_IGNORE_CERT_WRONG_USAGE": "ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE",
}
FAILURE = Fails("ERROR_WINHTTP_SECURE_FAILURE")
NEEDED = Fails("ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED")


def _at(server: str, about: str, end: End, *flags: str, **more: str) -> Fault:
    job = {"security_flags": list(flags)} if flags else {}
    certificate = more.get("client_certificate", "")
    assert certificate in {"", "known", "unknown"}
    return Fault(
        about,
        end,
        remote=f"{{{server}}}{{path}}",
        job=job,
        client_certificate=certificate,  # type: ignore[arg-type]
        only="https",
    )


FAULTS = {f"tls-{kind}": _at(f"tls-{kind}", f"a certificate: {kind}", Fails(code)) for kind, code in CODES.items()}
FAULTS |= {
    f"tls-{kind}-forgiven": _at(
        f"tls-{kind}",
        f"a certificate: {kind}, which is forgiven",
        Identical(),
        next(flag for flag, forgiven in FLAGS.items() if forgiven == code),
    )
    for kind, code in CODES.items()
}
FAULTS |= {
    f"tls-{kind}-others-forgiven": _at(
        f"tls-{kind}",
        f"a certificate: {kind}, and everything else is forgiven",
        Fails(code),
        *(flag for flag, forgiven in FLAGS.items() if forgiven != code),
    )
    for kind, code in CODES.items()
}
FAULTS |= {
    "tls-cipher": _at("tls-cipher", "no cipher in common", FAILURE),
    "tls-muddled": _at("muddled", "plain HTTP where TLS should be", FAILURE),
    "tls-muddled-forgiven": _at("muddled", "the same, and everything is forgiven", FAILURE, *FLAGS),
    "tls-closes": _at("closing", "closes in the handshake", Retries("BG_E_CONNECTION_CLOSED")),
    "tls-silent": _at("silent", "a handshake that never ends", Retries("BG_E_CONNECT_FAILURE")),
    "tls-client12-none": _at("tls-client12", "TLS 1.2 wants a client certificate", NEEDED),
    "tls-client13-none": _at("tls-client13", "TLS 1.3 wants a client certificate", NEEDED),
    "tls-client12-refused": _at("tls-client12", "TLS 1.2 wants another one", NEEDED, client_certificate="unknown"),
    "tls-client13-refused": _at("tls-client13", "TLS 1.3 wants another one", NEEDED, client_certificate="unknown"),
    "tls-client12": _at("tls-client12", "TLS 1.2 gets it", Identical(), client_certificate="known"),
    "tls-client13": _at("tls-client13", "TLS 1.3 gets it", Identical(), client_certificate="known"),
    "tls-client13-forgiving": _at(
        "tls-client13", "TLS 1.3 gets it, everything is forgiven", Identical(), *FLAGS, client_certificate="known"
    ),
}
