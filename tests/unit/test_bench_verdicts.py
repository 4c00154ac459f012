"""What counts as a wrong file when bitsd is compared with its rivals, and that every verdict has its place."""

import pytest

from tests.benchmarks.rivals import RIVALS
from tests.benchmarks.verdicts import Ending, Verdict, between, judge, names, table
from tests.faults.servers import Placed
from tests.origin_script import Script

VERSIONS = (b"old bytes", b"new bytes")


@pytest.mark.parametrize(
    ("ending", "is_told", "verdict"),
    [
        (Ending(0, b"new bytes"), True, Verdict.RIGHT),
        (Ending(0, b"new bytes"), False, Verdict.RIGHT),
        (Ending(0, b"old bytes"), True, Verdict.OLDER),
        (Ending(0, b"old bytes"), False, Verdict.OLDER),
        (Ending(0, b"old ytes"), True, Verdict.WRONG),
        (Ending(0, b"old "), True, Verdict.WRONG),
        (Ending(0, b""), True, Verdict.WRONG),
        (Ending(0, b"old "), False, Verdict.UNTOLD),
        (Ending(0, None), True, Verdict.NOTHING),
        (Ending(1, None), True, Verdict.ERROR),
        (Ending(1, b"old "), True, Verdict.ERROR),
        (Ending(-9, b"new bytes"), True, Verdict.ERROR),
        (Ending(None), True, Verdict.TRYING),
        (Ending(None, b"old "), True, Verdict.TRYING),
    ],
)
def test_only_success_with_bytes_of_no_version_is_a_wrong_file(ending: Ending, is_told: bool, verdict: Verdict) -> None:
    assert judge(ending, VERSIONS, is_told=is_told) is verdict


def test_a_file_that_never_changed_is_the_right_one() -> None:
    assert judge(Ending(0, b"same"), (b"same", b"same"), is_told=True) is Verdict.RIGHT


@pytest.mark.parametrize(
    ("promise", "told"),
    [
        ({}, ["curl", "wget", "wget2", "aria2c"]),
        ({"resume_unvalidated": True}, ["curl", "wget", "wget2", "aria2c"]),
        ({"digest": {"sha-256": "00"}}, ["aria2c"]),
        ({"expected_size": 5}, []),
        ({"expected_size": 5, "digest": {"sha-256": "00"}}, []),
    ],
)
def test_a_tool_knows_what_it_has_an_option_for(promise: dict[str, object], told: list[str]) -> None:
    placed = Placed("a", "http://127.0.0.1/a-0", promise, {}, Script())
    assert [rival.name for rival in RIVALS if rival.knows_all(placed)] == told


def test_the_strongest_digest_is_the_one_that_is_told() -> None:
    promise = {"digest": {"md5": "aa", "sha-512": "bb"}}
    placed = Placed("a", "http://ann:pass@127.0.0.1/a-0", promise, {}, Script())
    told = {
        rival.name: [part for part in rival.command(placed, "roots") if "aa" in part or "bb" in part]
        for rival in RIVALS
    }
    assert told == {"curl": [], "wget": [], "wget2": [], "aria2c": ["--checksum=sha-512=bb"]}


def test_every_fault_is_counted_once_for_each_tool() -> None:
    results = {
        "one": {str(number): verdict for number, verdict in enumerate(Verdict)},
        "two": {"a": Verdict.WRONG, "b": Verdict.WRONG, "c": Verdict.RIGHT},
    }
    rows = [line.strip("| ").split(" | ") for line in table(results).splitlines()]
    assert rows[0] == list(Verdict)
    assert rows[2] == ["one", *(["1"] * len(Verdict))]
    assert rows[3] == ["two", "1", *(["0"] * (len(Verdict) - 2)), "2"]


def test_wrong_files_are_listed_by_name_and_a_clean_tool_is_not() -> None:
    results = {"one": {"a": Verdict.RIGHT}, "two": {"a": Verdict.WRONG, "b": Verdict.WRONG, "c": Verdict.ERROR}}
    assert names(results, [Verdict.WRONG]) == "- **two**, success, wrong file (2): `a`, `b`"
    assert names({"one": {"a": Verdict.RIGHT}}, [Verdict.WRONG]) == "None."


def test_the_table_replaces_what_is_between_its_marks() -> None:
    marks = ("<a>", "</a>")
    assert between("x <a>\nold\n</a> y", marks, "new") == "x <a>\nnew\n</a> y"
    assert between(between("<a></a>", marks, "new"), marks, "new") == between("<a></a>", marks, "new")


@pytest.mark.parametrize("text", ["", "<a> only", "only </a>", "</a> <a>"])
def test_a_text_without_both_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot fill in the table"):
        between(text, ("<a>", "</a>"), "new")
