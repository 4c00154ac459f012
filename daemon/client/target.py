"""From addresses and paths on a command line to files of a job: names from URLs, absolute local names.

Pure but for the working directory and one look whether a path is a directory. Refuses a name it cannot take from an
address; it never guesses.
"""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from daemon.client.session import usage_error


def name_from_url(url: str) -> str:
    """The last path segment, percent-decoded: a plain file name. Raises InvalidArgument when there is none."""
    try:
        segment = urlsplit(url).path.rpartition("/")[2]
    except ValueError as error:
        raise usage_error(f"'{url}' is not an address: {error}") from error
    name = unquote(segment, errors="replace")
    if name in {"", ".", ".."}:
        raise usage_error(f"the address {url} ends in no file name; give one with -o FILE")
    if "/" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise usage_error(f"the file name in {url} cannot be used; give one with -o FILE")
    if len(os.fsencode(name)) > 255:
        raise usage_error(f"the file name in {url} is too long; give one with -o FILE")
    return name


def is_url(text: str) -> bool:
    return "://" in text


def local_name(url: str, path: str | None) -> str:
    """Absolute path for the file: `path`, or in it under the address's name if it is a directory; default here."""
    if path is None:
        return os.path.abspath(name_from_url(url))
    if path.endswith("/") or os.path.isdir(path):
        return os.path.abspath(os.path.join(path, name_from_url(url)))
    return os.path.abspath(path)


def pair_files(words: Sequence[str]) -> list[dict[str, Any]]:
    """`URL [LOCAL] URL [LOCAL] ...` as files to add: a word that is no address is the local name of the one before."""
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        if is_url(word):
            pairs.append((word, None))
        elif pairs and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], word)
        else:
            raise usage_error(f"'{word}' follows no address: write URL [LOCAL] for each file")
    return [{"remote_name": url, "local_name": local_name(url, path)} for url, path in pairs]


def name_files(urls: Sequence[str], output: str | None, directory: str | None) -> list[dict[str, Any]]:
    """Files of a `get`: all under their own names in `directory` (default here), or the one of them as `output`."""
    for url in urls:
        if not is_url(url):
            raise usage_error(f"'{url}' is not an address: it begins with http:// or https://")
    if output is None:
        names = [os.path.abspath(os.path.join(directory or "", name_from_url(url))) for url in urls]
    elif directory is not None or len(urls) != 1:
        raise usage_error("-o FILE is for one address and goes without -d; use -d DIR for several")
    elif output.endswith("/") or os.path.isdir(output):
        raise usage_error(f"{output} is a directory: use -d {output}")
    else:
        names = [os.path.abspath(output)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise usage_error(f"two addresses would both become {twice}; get them one by one with -o")
    return [{"remote_name": url, "local_name": name} for url, name in zip(urls, names, strict=True)]


def with_digest(files: list[dict[str, Any]], sha256: str | None) -> list[dict[str, Any]]:
    """The files with the SHA-256 of the only one of them."""
    if sha256 is None:
        return files
    digest = sha256.strip().lower()
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise usage_error("--sha256 wants 64 hexadecimal digits")
    if len(files) != 1:
        raise usage_error("--sha256 is for one file")
    return [{**files[0], "digest": {"sha-256": digest}}]


def with_mirrors(files: list[dict[str, Any]], mirrors: list[str] | None) -> list[dict[str, Any]]:
    """The files with further addresses of the only one of them."""
    if not mirrors:
        return files
    if len(files) != 1:
        raise usage_error("--mirror is for one file")
    return [{**files[0], "mirrors": mirrors}]
