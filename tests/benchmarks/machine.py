"""What the comparison ran on, and the versions of all that took part."""

import os
import platform
import re
import subprocess
from pathlib import Path

from daemon import __version__
from tests.benchmarks.sources import GIB
from tests.nginx import BINARY

TOOLS = {
    "nginx": (BINARY, "-v"),
    "curl": ("curl", "--version"),
    "wget2": ("wget2", "--version"),
    "aria2c": ("aria2c", "--version"),
    "openssl": ("openssl", "version"),
}


def machine(home: Path) -> str:
    """One sentence: processor, memory, kernel, and the file system of `home`."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    release = platform.release().partition("-")[0]
    return (
        f"{os.cpu_count()} x {model[1] if model else platform.machine()}, {memory:.0f} GiB of memory, "
        f"Linux {release}, {file_system(home)}, {_distribution()}"
    )


def versions() -> dict[str, str]:
    """Of bitsd, of what it runs on, and of the peers."""
    found = {"bitsd": __version__, "Python": platform.python_version()}
    return found | {name: _version(*command) for name, command in TOOLS.items()}


def file_system(path: Path) -> str:
    """The type of the one that `path` is on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    home = str(path.resolve())
    found = [(len(where), kind) for _, where, kind, *_ in mounts if os.path.commonpath([home, where]) == where]
    return max(found)[1]


def _version(*command: str) -> str:
    """The number in what a tool says of itself."""
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return number[0] if number else "?"


def _distribution() -> str:
    return platform.freedesktop_os_release()["PRETTY_NAME"]
