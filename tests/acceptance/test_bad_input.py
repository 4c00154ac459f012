"""Whatever comes over the socket, the answer is a problem document or a closed connection,
nothing is changed by it, and the service lives on as it was: same process, no traceback in its log, no memory lost.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.acceptance.raw import asker, public_home, request, send, snapshot, unharmed
from tests.process import Bitsd

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "http://127.0.0.1:1/a"
NO_JOB = "/v1/jobs/00000000-0000-0000-0000-000000000000"
BIG = [b'{"display_name": "' + b"x" * 20_000_000 + b'"}', b" " * 20_000_000, b" " * 15_000_000]
FIRST = [*BIG, b'{"display_name": "' + b"x" * 15_000_000 + b'"}']


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bitsd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bitsd]:
    async with unharmed(
        tmp_path_factory.mktemp("bad"), [request("POST", "/v1/jobs", body) for body in FIRST]
    ) as service:
        yield service


async def refused(bitsd: Bitsd, method: str, path: str, body: object = None, **wanted: Any) -> str:  # noqa: ANN401
    """What is wrong with the refusal of this request; empty = nothing."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await send(bitsd, request(method, path, data))
    flaw = answer.flaw(**wanted)
    return flaw and f"{method} {path[:80]} {str(body)[:80]}: {flaw}"


def flaws(found: list[str]) -> list[str]:
    return [flaw for flaw in found if flaw]


BAD_PROPERTIES: list[tuple[str, object, str]] = [
    ("nonsense", 1, "E_INVALIDARG"),
    ("state", "QUEUED", "E_INVALIDARG"),
    ("display_name", "", "E_INVALIDARG"),
    ("display_name", "x" * 257, "E_INVALIDARG"),
    ("display_name", 5, "E_INVALIDARG"),
    ("display_name", None, "E_INVALIDARG"),
    ("description", "x" * 1025, "BG_E_STRING_TOO_LONG"),
    ("priority", "URGENT", "E_NOTIMPL"),
    ("priority", 1, "E_NOTIMPL"),
    ("minimum_retry_delay", "5", "E_INVALIDARG"),
    ("minimum_retry_delay", 1.5, "E_INVALIDARG"),
    ("minimum_retry_delay", True, "E_INVALIDARG"),
    ("minimum_retry_delay", -1, "E_INVALIDARG"),
    ("no_progress_timeout", 2**31, "E_INVALIDARG"),
    ("maximum_download_time", [1], "E_INVALIDARG"),
    ("notify", [], "E_INVALIDARG"),
    ("notify.flags", ["NONSENSE"], "E_NOTIMPL"),
    ("notify.flags", ["JOB_ERROR", "JOB_ERROR"], "E_INVALIDARG"),
    ("notify.command", [], "E_INVALIDARG"),
    ("notify.nonsense", 1, "E_INVALIDARG"),
    ("proxy.usage", "SOMETIMES", "E_NOTIMPL"),
    ("custom_headers", "no colon", "E_INVALIDARG"),
    ("custom_headers", "X-A: 1\r\n\r\nGET / HTTP/1.1", "E_INVALIDARG"),
    ("custom_headers", "X-A: \u0000", "E_INVALIDARG"),
    ("custom_headers", "Range: bytes=0-", "E_INVALIDARG"),
    ("custom_headers", "X-A: " + "x" * 16384, "BG_E_STRING_TOO_LONG"),
    ("security_flags", ["SSL_IGNORE_EVERYTHING"], "E_NOTIMPL"),
    ("security_flags", "REDIRECT_DISALLOW", "E_INVALIDARG"),
    ("security_flags", ["REDIRECT_DISALLOW", "REDIRECT_ALLOW_REPORT"], "E_INVALIDARG"),
    ("cost_policy", "FREE", "E_NOTIMPL"),
    ("http_method", "get", "E_INVALIDARG"),
    ("http_method", "GET / HTTP/1.1\r\n", "E_INVALIDARG"),
    ("dynamic_content", 1, "E_INVALIDARG"),
    ("maximum_download_size", 0, "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE"),
    ("maximum_download_size", -1, "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE"),
]


async def test_bad_properties_are_named_and_change_nothing(bitsd: Bitsd) -> None:
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "description": "b"})
    before, found = await snapshot(bitsd), []
    for name, value, code in BAD_PROPERTIES:
        group, _, member = name.partition(".")
        body: dict[str, object] = {group: {member: value} if member else value}
        path = f"/v1/jobs/{job['id']}"
        found.append(await refused(bitsd, "PATCH", path, {"description": "c"} | body, status=400, code=code))
        found.append(await refused(bitsd, "POST", "/v1/jobs", {"display_name": "c"} | body, status=400, code=code))
        answer = await send(bitsd, request("PATCH", path, json.dumps(body).encode()))
        if not answer.document["field"].startswith(name):
            found.append(f"{name} is called {answer.document['field']}")
    assert flaws(found) == []
    assert await snapshot(bitsd) == before


async def test_proxy_settings_that_do_not_fit_together(bitsd: Bitsd) -> None:
    found = []
    for proxy, code, name in (
        ({"usage": "OVERRIDE"}, "E_INVALIDARG", "proxy.list"),
        ({"list": "a:1"}, "E_INVALIDARG", "proxy.list"),
        ({"usage": "NO_PROXY", "bypass": "a"}, "E_INVALIDARG", "proxy.bypass"),
        ({"usage": "OVERRIDE", "list": "x" * 4001}, "BG_E_PROXY_LIST_TOO_LARGE", "proxy.list"),
        ({"usage": "OVERRIDE", "list": "a", "bypass": "x" * 4001}, "BG_E_PROXY_BYPASS_LIST_TOO_LARGE", "proxy.bypass"),
    ):
        body = {"display_name": "a", "proxy": proxy}
        found.append(await refused(bitsd, "POST", "/v1/jobs", body, status=400, code=code, name=name))
    assert flaws(found) == []


def bad_files(bitsd: Bitsd) -> list[tuple[dict[str, object], str, str]]:
    """What is wrong, the code, the field of the file."""
    here, sha = str(bitsd.downloads), {"sha-256": "0" * 64}
    (bitsd.downloads / "folder").mkdir(exist_ok=True)
    (bitsd.downloads / "file").touch()
    urls = ["http://h/" + "x" * 5000, "http://h/" + "x" * 2192, "ftp://h/a", "file:///etc/passwd", "a", "", "http://"]
    urls += ["http:///a", "http://:pw@h/a", "http://us%0Aer:pw@h/a", "http://h/a b", "http://h/ä", "http://hä/a"]
    urls += [
        "http://h:99999/a",
        "http://h:0/a",
        "http://h:x/a",
        "http://[::1/a",
        "http://h/\u0000",
        "http://h/a\r\nX: y",
    ]
    paths = [
        "relative",
        "./a",
        "",
        "/",
        f"{here}/",
        f"{here}/.",
        f"{here}/folder",
        f"{here}/missing/a",
        f"{here}/file/a",
    ]
    paths += [f"{here}/a\u0000b", f"{here}/../a", f"{here}/" + "x" * 256, "/" + "x/" * 2100 + "a", "file:///tmp/a"]
    ranges: list[tuple[object, str]] = [
        ([], "E_INVALIDARG"),
        ([{"offset": -1, "length": 5}], "BG_E_INVALID_RANGE"),
        ([{"offset": 0, "length": 0}], "BG_E_INVALID_RANGE"),
        ([{"offset": 0, "length": -5}], "BG_E_INVALID_RANGE"),
        ([{"offset": 2**63, "length": 5}], "BG_E_INVALID_RANGE"),
        ([{"offset": 0, "length": 10}, {"offset": 9, "length": 10}], "BG_E_OVERLAPPING_RANGES"),
        ([{"offset": 50, "length": 10}, {"offset": 0}], "BG_E_OVERLAPPING_RANGES"),
        ([{"offset": 5, "length": 1}, {"offset": 5, "length": 1}], "BG_E_OVERLAPPING_RANGES"),
        ([{"length": 10}], "E_INVALIDARG"),
        ([{"offset": "0", "length": 10}], "E_INVALIDARG"),
        ([[0, 10]], "E_INVALIDARG"),
        ({"offset": 0}, "E_INVALIDARG"),
    ]
    digests: list[tuple[object, str]] = [
        ({"sha-257": "0" * 64}, "BG_E_INVALID_HASH_ALGORITHM"),
        ({"": ""}, "BG_E_INVALID_HASH_ALGORITHM"),
        ({"sha-256": "0" * 63}, "E_INVALIDARG"),
        ({"sha-256": "g" * 64}, "E_INVALIDARG"),
        ({"sha-256": "٣" * 64}, "E_INVALIDARG"),
        ({"sha-256": 5}, "E_INVALIDARG"),
        ({"shake_128": "00"}, ""),
        ({}, "E_INVALIDARG"),
        ("sha-256", "E_INVALIDARG"),
    ]
    wrong: list[tuple[dict[str, object], str, str]] = []
    wrong += [({"remote_name": url}, "E_INVALIDARG", "remote_name") for url in urls]
    wrong += [({"mirrors": [URL, url]}, "E_INVALIDARG", "mirrors.1") for url in urls]
    wrong += [({"local_name": path}, "E_INVALIDARG", "local_name") for path in paths]
    wrong += [({"ranges": item}, code, "ranges") for item, code in ranges]
    wrong += [({"digest": item}, code, "digest") for item, code in digests]
    wrong += [({"expected_size": size}, "E_INVALIDARG", "expected_size") for size in (-1, 2**63, "1", 1.0)]
    wrong += [
        ({"digest": sha, "nonsense": 1}, "E_INVALIDARG", "nonsense"),
        ({"make_dirs": 1}, "E_INVALIDARG", "make_dirs"),
    ]
    wrong += [({"remote_name": None}, "E_INVALIDARG", "remote_name"), ({"local_name": 5}, "E_INVALIDARG", "local_name")]
    return wrong


async def test_bad_files_are_refused_all_together(bitsd: Bitsd) -> None:
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a"})
    good = {"remote_name": URL, "local_name": str(bitsd.downloads / "new")}
    before, found = await snapshot(bitsd), []
    for wrong, code, field in bad_files(bitsd):
        body = {"files": [good, good | wrong]}
        for path, more in ((f"/v1/jobs/{job['id']}/files", {}), ("/v1/jobs", {"display_name": "a", "resume": True})):
            answer = await send(bitsd, request("POST", path, json.dumps(body | more).encode()))
            flaw = answer.flaw(status=400, **({"code": code} if code else {}))
            if flaw or not answer.document["field"].startswith(f"files.1.{field}"):
                found.append(f"{str(wrong)[:80]}: {flaw or answer.document['field']}")
    assert flaws(found) == []
    assert await snapshot(bitsd) == before


async def test_bad_file_lists_and_changes_of_a_file(bitsd: Bitsd) -> None:
    good = {"remote_name": URL, "local_name": str(bitsd.downloads / "new")}
    job = await bitsd.ok("POST", "/v1/jobs", {"display_name": "a", "files": [good]})
    before, path, found = await snapshot(bitsd), f"/v1/jobs/{job['id']}", []
    bodies: list[object] = [
        {},
        {"files": []},
        {"files": None},
        {"files": good},
        {"files": [5]},
        {"file": [good]},
        [good],
    ]
    found += [await refused(bitsd, "POST", f"{path}/files", body, status=400) for body in bodies]
    patches: list[object] = [{}, {"remote_name": None}, {"validated": None}, {"validated": 1}, {"local_name": "/tmp/a"}]
    patches += [{"remote_name": URL, "validated": True}, {"remote_name": "ftp://h/a"}, {"remote_name": "x" * 5000}]
    found += [await refused(bitsd, "PATCH", f"{path}/files/0", body, status=400) for body in patches]
    prefixes = [
        {},
        {"old": "http"},
        {"old": "", "new": "http"},
        {"old": URL, "new": ""},
        {"old": URL, "new": "ftp://h/"},
    ]
    prefixes += [{"old": URL, "new": URL + "x" * 2200}, {"old": URL, "new": "http://:p@h/"}]
    found += [await refused(bitsd, "POST", f"{path}/replace-remote-prefix", body, status=400) for body in prefixes]
    for index in ("1", "9" * 18):
        for method, body in (("GET", None), ("PATCH", {"validated": True})):
            wanted = {"status": 404, "code": "BG_E_FILE_NOT_FOUND"}
            found.append(await refused(bitsd, method, f"{path}/files/{index}", body, **wanted))
    for index in ("-1", "x", "9" * 19, "0x0", "%31%00", ""):
        found.append(await refused(bitsd, "GET", f"{path}/files/{index}", status=404))
    assert flaws(found) == []
    assert await snapshot(bitsd) == before


async def test_a_directory_the_owner_may_not_write_in_is_refused(bitsd: Bitsd) -> None:
    with public_home() as home:
        async with Bitsd(home, BITSD_DAEMON__LOG_LEVEL="debug") as service, asker(service, 60001) as user:
            closed = home / "closed" if os.geteuid() == 0 else Path("/sys/kernel")
            (home / "closed").mkdir(mode=0o700)
            file = {"remote_name": URL, "local_name": str(closed / "a")}
            status, reply = await user.call("POST", "/v1/jobs", {"display_name": "a", "files": [file]})
            assert (status, reply["code"], reply["path"]) == (403, "E_ACCESSDENIED", str(closed))
            assert (await user.ok("GET", "/v1/jobs"))["jobs"] == []


ODD = ["x", "%00", "%ff", "%ED%A0%80", "..%2f..%2fetc", "'%20OR%201=1--", "%F0%9F%92%A9", "a" * 900, "*", "%25"]


async def test_unknown_ids_paths_and_methods(bitsd: Bitsd) -> None:
    found = []
    calls: list[tuple[str, str, object]] = [("GET", "", None), ("PATCH", "", {}), ("GET", "/files", None)]
    calls += [("POST", f"/{name}", None) for name in ("suspend", "resume", "complete", "cancel", "take-ownership")]
    calls += [("GET", "/wait?until=ERROR", None), ("GET", "/files/0", None), ("PATCH", "/files/0", {"validated": True})]
    file = {"remote_name": URL, "local_name": str(bitsd.downloads / "new")}
    calls += [("POST", "/files", {"files": [file]}), ("POST", "/replace-remote-prefix", {"old": "a", "new": "b"})]
    code = {"status": 404, "code": "BG_E_NOT_FOUND"}
    found += [await refused(bitsd, method, NO_JOB + path, body, **code) for method, path, body in calls]
    found += [await refused(bitsd, "GET", f"/v1/jobs/{name}") for name in ODD]
    for path in ("/", "/v2", "/v1/", "/v1/job", f"{NO_JOB}/nonsense", "//v1", "/v1%00"):
        found.append(await refused(bitsd, "GET", path, status=404))
    for method, path in (("DELETE", "/v1/jobs"), ("PUT", NO_JOB), ("GET", f"{NO_JOB}/cancel"), ("TRACE", "/v1")):
        found.append(await refused(bitsd, method, path, status=405))
    assert flaws(found) == []


async def test_bad_queries(bitsd: Bitsd) -> None:
    queries = {
        "/v1/jobs": "nonsense=1 limit=0 limit=-1 limit=x limit=100001 cursor=x cursor=1 cursor=-1 cursor=1-x cursor=1-"
        " state=NONSENSE state= state=QUEUED, fields=nonsense fields= changed_since=-1 changed_since=x limit="
        f" owner=no-such-user owner= owner=%00 owner=%ff owner={'9' * 40} include=nonsense cursor={'9' * 50}-1"
        f" limit={'9' * 5000} owner=-1",
        "/v1/events": f"nonsense=1 after=-1 after=x types=NONSENSE types= wait=-1 wait=nan wait=inf wait=3601 limit=0"
        f" limit=10001 after={'9' * 5000} all_users=perhaps",
        f"{NO_JOB}/wait": "until= until=NONSENSE until=QUEUED&timeout=-1 until=QUEUED&timeout=nan timeout=1 nonsense=1",
        NO_JOB: "nonsense=1 include=nonsense",
        "/v1": "nonsense=1",
        f"{NO_JOB}/files": "include=files",
    }
    found = [
        await refused(bitsd, "GET", f"{path}?{query}", status=400)
        for path, line in queries.items()
        for query in line.split(" ")
    ]
    assert flaws(found) == []
    for harmless in (
        f"changed_since={'9' * 40}",
        f"cursor={'9' * 19}-{'9' * 19}",
        f"name={quote('[*?')}",
        "name=%ff%00",
    ):
        assert (await bitsd.ok("GET", f"/v1/jobs?{harmless}"))["jobs"] == []
    assert (await bitsd.ok("GET", f"/v1/events?after={'9' * 40}"))["events"] == []


async def test_bodies_that_are_not_what_was_asked_for(bitsd: Bitsd) -> None:
    nested = b'{"display_name":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    bodies = [
        b"",
        b"{",
        b'{"display_name": "a"',
        b"nonsense",
        b"null",
        b"5",
        b'"a"',
        b"[]",
        b"[{}]",
        b"\xff\xfe",
        b"\x00",
    ]
    bodies += [b'{"display_name": "\xff"}', b'{"display_name": "\\ud800"}', b'{"display_name": "a", "\\udfff": 1}']
    bodies += [BIG[2], b'{"display_name": "a", "files": [' + b"{}," * 4_000_000 + b"{}]}"]
    bodies += [b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b"}"]
    bodies += [b'{"display_name": NaN}', b'{"display_name": "a"} {}', b'{"display_name": "a",}', b"[" * 100_000, nested]
    bodies += [
        b'{"display_name": "a", "minimum_retry_delay": ' + number + b"}" for number in (b"9" * 100_000, b"1e999")
    ]
    bodies += [
        b'{"display_name": "a", "' + b"x" * 1_000_000 + b'": 1}',
        b'{"display_name": "' + b"x" * 1_000_000 + b'"}',
    ]
    before = await snapshot(bitsd)
    assert flaws([await refused(bitsd, "POST", "/v1/jobs", body, status=400) for body in bodies]) == []
    assert flaws([await refused(bitsd, "POST", "/v1/jobs", body, status=413) for body in BIG[:2]]) == []
    gzip = request("POST", "/v1/jobs", b'{"display_name": "a"}', Content_Encoding="gzip")
    key = request("POST", "/v1/jobs", b'{"display_name": "a"}', Idempotency_Key="\xff")
    long_key = request("POST", "/v1/jobs", b'{"display_name": "a"}', Idempotency_Key="x" * 256)
    last = request("GET", "/v1/events", Last_Event_ID="x")
    assert flaws([(await send(bitsd, data)).flaw(status=400) for data in (gzip, key, long_key, last)]) == []
    assert await snapshot(bitsd) == before
