"""`make demo`: the main job for real, in front of your eyes. Starts a web server and bitsd, stops both at its end.

Everything it makes is in .demo/, on a private socket; nothing else of the machine is touched.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.nginx import BINARY, running_nginx

HOME = Path(__file__).resolve().parent.parent
PLACE = HOME / ".demo"
FILES = {"disk-image.iso": 320 * 2**20, "dataset.tar": 64 * 2**20}
BLOCK = 2**20


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def main() -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    (PLACE / "downloads").mkdir(parents=True)
    say(f"making {sum(FILES.values()) // 2**20} MiB of random files to serve")
    digests = {name: make_file(PLACE / "www" / name, size) for name, size in FILES.items()}
    with web_server() as base, bitsd() as environment:
        urls = [f"{base}/{name}" for name in FILES]
        say("bitsctl get: create a job, follow it, complete it")
        seen = run(environment, "get", *urls, "-d", str(PLACE / "downloads"))
        say("what happened, from the service's event log")
        run(environment, "events")
        say("the job is done, so the queue is empty")
        run(environment, "list")
    say("digests of what was published")
    is_same = all(check(PLACE / "downloads" / name, digest) for name, digest in digests.items())
    say("everything is stopped" + (": the demo succeeded" if is_same and seen == 0 else ": THE DEMO FAILED"))
    return 0 if is_same and seen == 0 else 1


def make_file(path: Path, size: int) -> str:
    path.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // BLOCK):
            block = os.urandom(BLOCK)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def check(path: Path, expected: str) -> bool:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    print(f"{found[:16]}…  {path.relative_to(HOME)}  {'as served' if found == expected else 'WRONG'}", flush=True)
    return found == expected


def run(environment: dict[str, str], *arguments: str) -> int:
    print(f"$ bitsctl {' '.join(arguments)}".replace(f"{HOME}/", ""), flush=True)
    return subprocess.run([sys.executable, "-m", "daemon.client", *arguments], env=environment, check=False).returncode


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """nginx if there is one, else Python's own server."""
    if shutil.which(BINARY):
        say(f"serving .demo/www with nginx ({BINARY})")
        # slow enough to see it move: the loopback would be over in a second
        with running_nginx(PLACE, PLACE / "www", server="limit_rate 60m;") as nginx:
            yield f"http://127.0.0.1:{nginx.port}"
        return
    say("nginx is not installed and only root could install it: serving .demo/www with Python's http.server")
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: handler(*given, directory=str(PLACE / "www")))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


@contextlib.contextmanager
def bitsd() -> Iterator[dict[str, str]]:
    """The service on a private socket; the environment with which bitsctl finds it."""
    folder = tempfile.mkdtemp(prefix="bitsd-demo-")  # the path of a socket must be short, this folder's may be long
    socket = f"{folder}/bitsd.sock"
    say(f"starting bitsd with config.toml on {socket}")
    command = [sys.executable, "-m", "daemon", "--config", str(HOME / "config.toml"), "--socket", socket]
    with (PLACE / "bitsd.log").open("w") as log:
        process = subprocess.Popen([*command, "--state-dir", str(PLACE / "state")], stdout=log, stderr=log)
    environment = os.environ | {"BITSD_SOCKET": socket}
    try:
        while subprocess.run(
            [sys.executable, "-m", "daemon.client", "--json", "status"],
            env=environment,
            capture_output=True,
            check=False,
        ).returncode:
            if process.poll() is not None:
                sys.exit(f"bitsd did not start:\n{(PLACE / 'bitsd.log').read_text()}")
            time.sleep(0.1)
        run(environment, "status")
        yield environment
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
