"""The refusal of a server's certificate by our own check. Apart, so that certificates.py is loaded only when needed."""

import ssl


class FlawError(ssl.SSLCertVerificationError):
    """The certificate has a flaw that is not forgiven: `kind` as in TlsFailedError."""

    def __init__(self, kind: str) -> None:
        super().__init__(1, f"the certificate was refused: {kind or 'unreadable'}")
        self.kind = kind
