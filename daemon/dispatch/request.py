"""A file of a job as the transfer takes it: pure translation, one record into another."""

from daemon.digests import hash_name
from jobqueue.edit import parse_headers
from jobqueue.job import File, Job
from jobqueue.secrets import JobSecrets
from transfer.request import (
    ByteRange,
    Credential,
    PartRecord,
    Piece,
    ProxyRule,
    RedirectPolicy,
    Terms,
    TlsTerms,
    TransferRequest,
    Validators,
)

FORGIVING = "SSL_IGNORE_"


def terms_of(job: Job, secrets: JobSecrets) -> Terms:
    """How servers are dealt with on behalf of the job."""
    properties, flags = job.properties, job.properties.security_flags
    certificate = secrets.certificate
    return Terms(
        headers=parse_headers(properties.custom_headers or ""),
        redirects=_redirects(flags),
        may_downgrade="REDIRECT_ALLOW_HTTPS_TO_HTTP" in flags,
        proxy=ProxyRule(properties.proxy_usage, properties.proxy_list or "", properties.proxy_bypass or ""),
        credentials=tuple(
            Credential(known.target, known.scheme, known.user, known.password, known.origin)
            for known in secrets.credentials
        ),
        tls=TlsTerms(
            forgiven=frozenset(flag.removeprefix(FORGIVING) for flag in flags if flag.startswith(FORGIVING)),
            certificate=certificate.certificate if certificate else "",
            private_key=certificate.private_key if certificate else "",
        ),
    )


def part_record(file: File) -> PartRecord:
    """What is known of the file's temporary file."""
    pieces = tuple(Piece(*piece) for piece in file.pieces)
    return PartRecord(file.offset, file.inode, mtime=file.mtime, checksum=file.checksum, pieces=pieces)


def request_for(job: Job, file: File, terms: Terms, *, room: int | None = None) -> TransferRequest:
    """What is to be fetched of the file. `room`: bytes it may still bring (maximum_download_size), None = no limit."""
    properties = job.properties
    return TransferRequest(
        urls=(file.remote_name, *file.mirrors),
        part_path=file.temporary_name,
        ranges=tuple(ByteRange(offset, length) for offset, length in file.ranges),
        part=part_record(file),
        fetched_from=file.fetched_from,
        validators=Validators(
            etag=file.etag,
            last_modified=file.last_modified,
            size=file.remote_size,
            is_date_weak=file.is_date_weak,
            media_type=file.media_type,
            digest=tuple(sorted(file.served_digest.items())),
        ),
        expected_size=file.expected_size,
        digest={hash_name(name) or name: value for name, value in file.digest.items()},
        method=properties.http_method,
        is_resumable=not properties.dynamic_content and properties.http_method == "GET",
        may_resume_unvalidated=file.resume_unvalidated,
        maximum_size=room,
        make_dirs=file.make_dirs,
        terms=terms,
    )


def _redirects(flags: tuple[str, ...]) -> RedirectPolicy:
    if "REDIRECT_DISALLOW" in flags:
        return RedirectPolicy.DISALLOW
    return RedirectPolicy.REPORT if "REDIRECT_ALLOW_REPORT" in flags else RedirectPolicy.SILENT
