"""Challenges and answers: RFC 7616 §3.9, RFC 7617, and whatever a server may say instead."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transfer.auth import Challenge, answer, choose, parse
from transfer.dialogue import MOST_REMEMBERED, Dialogue, Memory, for_proxy, for_server
from transfer.request import Credential

MUFASA = Credential("SERVER", "DIGEST", "Mufasa", "Circle of Life")
RFC = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
BASIC, DIGEST = Credential("SERVER", "BASIC", "u", "p"), Credential("SERVER", "DIGEST", "u", "p")


def said(text: str) -> dict[str, str]:
    """The parameters of an answer, quotes taken off."""
    return {name: value.strip('"') for name, value in re.findall(r'([a-z*]+)=("[^"]*"|[^,]+)', text)}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_first_example_of_the_rfc_comes_out(algorithm: str, response: str) -> None:
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    (challenge,) = parse([RFC.format(algorithm)])
    given = said(answer(challenge, MUFASA, "GET", "/dir/index.html", count=1, cnonce=cnonce))
    assert given["response"] == response
    assert given["username"] == "Mufasa"
    assert (given["qop"], given["nc"], given["algorithm"]) == ("auth", "00000001", algorithm)
    assert given["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"


def test_the_second_example_of_the_rfc_comes_out_as_its_erratum_has_it() -> None:
    text = (
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, charset=UTF-8, userhash=true, '
        'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGChXYjwrI2QmXDnsOS"'
    )
    jason = Credential("SERVER", "DIGEST", "J\u00e4s\u00f8n Doe", "Secret, or not?")
    (challenge,) = parse([text])
    given = said(
        answer(challenge, jason, "GET", "/doe.json", count=1, cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
    )
    assert given["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert given["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_names_beyond_ascii_are_encoded_as_the_server_can_read_them() -> None:
    name = Credential("SERVER", "DIGEST", "J\u00e4", "p")
    (plain, modern) = parse(['Digest realm=r, nonce=n, Digest realm=r, nonce=n, charset="utf-8"'])
    assert 'username="J\u00e4"' in answer(plain, name, "GET", "/", count=1, cnonce="c")
    assert "username*=UTF-8''J%C3%A4" in answer(modern, name, "GET", "/", count=1, cnonce="c")
    assert answer(Challenge("basic"), name, "GET", "/", count=1, cnonce="") == "Basic SsOkOnA="


def test_quotes_go_out_as_they_came_in() -> None:
    (challenge,) = parse([r'Digest realm="a \"b\" \\c", nonce="n,=\"", qop=auth'])
    assert challenge.parameters == {"realm": r'a "b" \c', "nonce": 'n,="', "qop": "auth"}
    text = answer(challenge, DIGEST, "GET", '/"', count=1, cnonce="c")
    assert r'realm="a \"b\" \\c"' in text
    assert r'uri="/\""' in text


@pytest.mark.parametrize(
    ("values", "schemes"),
    [
        ([], []),
        (["Basic"], ["basic"]),
        (["Negotiate", 'Basic realm="x"'], ["negotiate", "basic"]),
        (["Negotiate abc==, Basic realm=x, NTLM"], ["negotiate", "basic", "ntlm"]),
        ([' , Digest realm = "x" , nonce="y",, Basic'], ["digest", "basic"]),
        (['Basic realm="Digest x=y, Digest"'], ["basic"]),
        (['realm="x"'], []),
        (['Basic realm="open, Digest nonce=x'], ["basic", "digest"]),
        (["@@@, Basic"], ["basic"]),
    ],
)
def test_challenges_are_told_apart(values: list[str], schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in parse(values)] == schemes


def test_the_first_of_two_equal_parameters_counts_and_names_have_no_case() -> None:
    (challenge,) = parse(["DIGEST REALM=one, realm=two, Stale=TRUE, nonce=x"])
    assert challenge.parameters["realm"] == "one"
    assert challenge.is_stale


HOSTILE = st.text(alphabet='Digest Baic=",\\\t\x00~Ã=realmnonce', max_size=300)


@given(st.lists(HOSTILE, max_size=4))
@example(['a="' + "\\" * 301])
def test_nothing_a_server_says_is_more_than_unreadable(values: list[str]) -> None:
    for challenge in parse(values):
        if challenge.is_answerable:
            assert answer(challenge, DIGEST, "GET", "/", count=1, cnonce="c")


@pytest.mark.parametrize("piece", ['"', '\\"', 'a="', "a ", "a=", "Basic ", ",", " ", "a=b ", "=", '"\\', "\t,a"])
def test_a_long_challenge_takes_no_longer_than_its_length(piece: str) -> None:
    began = time.process_time()
    parse([piece * (1 << 16)])
    assert time.process_time() - began < 2


def test_digest_goes_before_basic_when_both_can_be_answered() -> None:
    both = parse(["Basic realm=x", "Digest nonce=n, algorithm=SHA-999", "Digest nonce=m", "Digest nonce=o"])
    chosen = choose(both, [BASIC, DIGEST])
    assert chosen is not None
    assert (chosen[0].parameters["nonce"], chosen[1]) == ("m", DIGEST)
    only_basic = choose(both, [BASIC])
    assert only_basic is not None
    assert only_basic[1] == BASIC
    assert choose(both[:2], [DIGEST]) is None
    assert choose(parse(["Digest nonce=n, qop=auth-int", "Digest realm=no-nonce", "NTLM"]), [BASIC, DIGEST]) is None


def test_the_count_grows_with_each_use_of_a_nonce_and_the_cnonce_stays() -> None:
    memory = Memory()
    first = Dialogue(memory, "http://a:80", (DIGEST,))
    assert first.answer("GET", "/1") is None
    assert first.is_worth_answering(["Digest nonce=n, qop=auth"])
    texts = [first.answer("GET", "/1"), Dialogue(memory, "http://a:80", (DIGEST,)).answer("GET", "/2")]
    answers = [said(text or "") for text in texts]
    assert [one["nc"] for one in answers] == ["00000001", "00000002"]
    assert answers[0]["cnonce"] == answers[1]["cnonce"]


def test_nothing_is_remembered_for_other_credentials_or_places() -> None:
    memory = Memory()
    assert Dialogue(memory, "http://a:80", (BASIC,)).is_worth_answering(["Basic"])
    assert Dialogue(memory, "http://a:80", (BASIC,)).answer("GET", "/") is not None
    other = Credential("SERVER", "BASIC", "u", "other")
    for place, credentials in (("http://a:80", (other,)), ("http://b:80", (BASIC,)), ("http://a:80", ())):
        assert Dialogue(memory, place, credentials).answer("GET", "/") is None


def test_a_remembered_basic_password_is_refused_once_only() -> None:
    memory = Memory()
    assert Dialogue(memory, "http://a:80", (BASIC,)).is_worth_answering(["Basic"])
    later = Dialogue(memory, "http://a:80", (BASIC,))
    assert later.answer("GET", "/") is not None
    assert not later.is_worth_answering(["Basic"])
    assert Dialogue(memory, "http://a:80", (BASIC,)).answer("GET", "/") is None


def test_a_remembered_nonce_may_run_out_without_being_called_stale() -> None:
    memory = Memory()
    assert Dialogue(memory, "http://a:80", (DIGEST,)).is_worth_answering(["Digest nonce=1"])
    later = Dialogue(memory, "http://a:80", (DIGEST,))
    assert later.answer("GET", "/") is not None
    assert later.is_worth_answering(["Digest nonce=2"])
    assert not later.is_worth_answering(["Digest nonce=3"])


def test_the_memory_is_bounded() -> None:
    memory = Memory()
    for number in range(MOST_REMEMBERED + 1):
        assert Dialogue(memory, f"http://{number}", (BASIC,)).is_worth_answering(["Basic"])
    assert Dialogue(memory, "http://0", (BASIC,)).answer("GET", "/") is None
    assert Dialogue(memory, "http://1", (BASIC,)).answer("GET", "/") is not None


def test_credentials_go_where_they_belong() -> None:
    named = "https://files.example/a"
    there = Credential("SERVER", "BASIC", "u", "p", origin="https://other.example:443")
    gate = Credential("PROXY", "BASIC", "u", "p")
    everything = (BASIC, there, gate)
    assert for_server(everything, "https://files.example:443/b", named) == (BASIC,)
    assert for_server(everything, "https://other.example/b", named) == (there,)
    for url in ("http://files.example/a", "https://files.example:444/a", "http://other.example/b"):
        assert for_server(everything, url, named) == ()
    assert for_proxy(everything, "http://gate:3128") == (gate,)
    mine = Credential("PROXY", "BASIC", "u", "p", origin="http://gate:3128")
    assert for_proxy((gate, mine), "http://gate:3128") == (mine, gate)
    assert for_proxy((mine,), "http://gate:3129") == ()


def test_passwords_are_in_no_repr() -> None:
    memory = Memory()
    dialogue = Dialogue(memory, "http://a:80", (MUFASA,))
    assert dialogue.is_worth_answering(["Basic", "Digest nonce=n"])
    assert "Circle" not in repr(memory.find(("http://a:80", (MUFASA,)))) + repr(MUFASA) + repr(dialogue)
