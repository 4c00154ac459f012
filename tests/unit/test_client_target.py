"""Names of files come from addresses without guessing, and never point anywhere else."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.client.errors import InvalidArgument
from daemon.client.target import name_files, name_from_url, pair_files, with_digest, with_mirrors

LETTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/")


@given(st.text(LETTERS, min_size=1, max_size=60).filter(lambda name: name not in {".", ".."}))
def test_a_quoted_name_comes_back_whole(name: str) -> None:
    assert name_from_url(f"https://host/some/dir/{quote(name, safe='')}?a=/b#/c") == name


@given(st.text(max_size=80))
def test_whatever_the_address_the_name_is_a_plain_one(tail: str) -> None:
    try:
        name = name_from_url(f"http://host/{tail}")
    except InvalidArgument:
        return
    assert os.path.basename(name) == name
    assert name not in {"", ".", ".."}
    assert "\0" not in name


@pytest.mark.parametrize(
    "tail", ["", "/", "/dir/", "/.", "/..", "/%2e%2e", "/a%2Fb", "/a%00b", "/..%2f..%2fpasswd", "/" + "x" * 256]
)
def test_an_address_without_a_usable_name_asks_for_one(tail: str) -> None:
    with pytest.raises(InvalidArgument, match="-o FILE"):
        name_from_url(f"http://host{tail}")


def test_local_names_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    words = ["http://h/a", "http://h/b", "there", "http://h/c", "d/"]
    assert [file["local_name"] for file in pair_files(words)] == [
        f"{tmp_path}/a",
        f"{tmp_path}/there/b",
        f"{tmp_path}/d/c",
    ]
    assert name_files(["http://h/a"], "x", None)[0]["local_name"] == f"{tmp_path}/x"
    assert name_files(["http://h/a"], None, "y")[0]["local_name"] == f"{tmp_path}/y/a"


@pytest.mark.parametrize("words", [["a"], ["http://h/a", "b", "c"]])
def test_a_word_that_belongs_to_no_address_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="follows no address"):
        pair_files(words)


def test_a_digest_is_for_one_file_and_well_formed() -> None:
    one = [{"remote_name": "http://h/a", "local_name": "/a"}]
    assert with_digest(one, " " + "AB" * 32)[0]["digest"] == {"sha-256": "ab" * 32}
    for files, digest in ((one, "ab"), (one, "g" * 64), (one * 2, "a" * 64)):
        with pytest.raises(InvalidArgument):
            with_digest(files, digest)


def test_mirrors_are_those_of_one_file() -> None:
    one = [{"remote_name": "http://a/x", "local_name": "/x"}]
    assert with_mirrors(one, None) == one
    assert with_mirrors(one, ["http://b/x"]) == [{**one[0], "mirrors": ["http://b/x"]}]
    with pytest.raises(InvalidArgument):
        with_mirrors(one * 2, ["http://b/x"])
