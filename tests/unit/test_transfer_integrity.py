"""Digests and mirrors in header fields: what is read, what is ignored, and that nothing hostile hurts."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import ConnectFailedError, DigestMismatchError, HttpStatusError, UnexpectedSizeError
from transfer.failover import Failover
from transfer.integrity import MOST_LINKS, content_digests, duplicates, served_digests
from transfer.source import Head

DATA = b"hello"
URL = "https://origin/a/file"
SUM = hashlib.sha256(DATA).hexdigest()
TEXT = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
MD5 = base64.b64encode(hashlib.md5(DATA, usedforsecurity=False).digest()).decode()


def head(name: str, *values: str) -> Head:
    return Head(URL, 200, tuple((name, value) for value in values))


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (f"sha-256=:{TEXT}:", (("sha256", SUM),)),
        (f"SHA-256=:{TEXT}:", (("sha256", SUM),)),
        (f"id-sha-256=:{TEXT}:, sha-256=:{TEXT}:;q=1", (("sha256", SUM),)),
        (f"md5=:{MD5}:,sha-256=:{TEXT}:", (("md5", hashlib.md5(DATA).hexdigest()), ("sha256", SUM))),
        (f"sha-256={TEXT}", ()),
        ("sha-256=:AAAA:", ()),
        ("sha-256=:not base64:", ()),
        ("crc32c=:AAAAAA==:", ()),
        ("", ()),
    ],
)
def test_a_repr_digest_is_read_when_it_is_one(field: str, found: tuple[tuple[str, str], ...]) -> None:
    assert served_digests(head("Repr-Digest", field)) == found
    assert content_digests(head("Content-Digest", field)) == found


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (f"SHA-256={TEXT}", (("sha256", SUM),)),
        (f"UNIXsum=30637, sha-256={TEXT}", (("sha256", SUM),)),
        (f"SHA-256={TEXT[:-4]}", ()),
        ("SHA-256", ()),
    ],
)
def test_an_instance_digest_is_read_when_it_is_one(field: str, found: tuple[tuple[str, str], ...]) -> None:
    assert served_digests(head("Digest", field)) == found


def test_the_newer_field_wins_over_the_older() -> None:
    both = Head(
        URL, 200, (("Digest", f"SHA-256={base64.b64encode(bytes(32)).decode()}"), ("Repr-Digest", f"sha-256=:{TEXT}:"))
    )
    assert served_digests(both) == (("sha256", SUM),)


def test_the_digest_of_a_reply_is_not_that_of_the_file() -> None:
    assert served_digests(head("Content-Digest", f"sha-256=:{TEXT}:")) == ()


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        (["<http://m/f>; rel=duplicate"], ("http://m/f",)),
        (['<http://m/f>; rel="duplicate"; pri=1; geo=de, <http://n/f>;rel=Duplicate'], ("http://m/f", "http://n/f")),
        (["<http://m/f>;rel=duplicate", "<http://m/f>; rel=duplicate"], ("http://m/f",)),
        (["</b/file>; rel=duplicate"], ("https://origin/b/file",)),
        (['<http://m/a,b;c>; title="x, <y>; rel=duplicate"; rel="other duplicate"'], ("http://m/a,b;c",)),
        (["<http://m/f.meta4>; rel=describedby"], ()),
        (["http://m/f; rel=duplicate", "<http://[bad>; rel=duplicate", "<>"], ()),
    ],
)
def test_duplicates_are_read_from_links(fields: list[str], urls: tuple[str, ...]) -> None:
    assert duplicates(head("Link", *fields)) == urls


def test_not_every_one_of_many_links_is_followed() -> None:
    assert len(duplicates(head("Link", *(f"<http://m{n}/>; rel=duplicate" for n in range(1000))))) == MOST_LINKS


@given(st.text(max_size=200), st.sampled_from(["Link", "Digest", "Repr-Digest", "Content-Digest"]))
def test_no_text_in_a_field_is_an_error(text: str, name: str) -> None:
    hostile = head(name, text)
    served_digests(hostile), content_digests(hostile), duplicates(hostile)


# Turns


def test_each_url_has_its_turn_and_the_first_failure_tells_of_all() -> None:
    servers = Failover(["a", "b", "a", "c"], first="b")
    turns = [servers.url]
    first = HttpStatusError("b", 404)
    for error in (first, ConnectFailedError("a")):
        servers.next(error)
        turns.append(servers.url)
    assert turns == ["b", "a", "c"]
    with pytest.raises(HttpStatusError) as caught:
        servers.next(ConnectFailedError("c"))
    assert [str(error) for error in (caught.value, *caught.value.others)] == ["b", "a", "c"]


@pytest.mark.parametrize("wrong", [DigestMismatchError("wrong"), UnexpectedSizeError("wrong")])
def test_the_only_url_has_a_second_turn_when_its_bytes_were_wrong(wrong: DigestMismatchError) -> None:
    servers = Failover(["a"])
    servers.next(wrong)
    assert servers.url == "a"
    with pytest.raises(type(wrong)):
        servers.next(wrong)


def test_a_place_that_came_to_be_known_later_has_the_second_turn() -> None:
    servers = Failover(["a"])
    servers.add(["a", "b"])
    servers.next(DigestMismatchError("wrong"))
    assert servers.url == "b"


def test_a_url_that_is_no_longer_there_is_not_asked_first() -> None:
    assert Failover(["a", "b"], first="gone").url == "a"
