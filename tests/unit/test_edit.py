"""What an owner may set and when: spec/service.md §1.2, §4.2, §5.4-§5.7."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.edit import Limits, check_files, check_ranges, parse_headers, set_properties
from jobqueue.errors import RefusedError
from jobqueue.job import Job, Priority, Totals
from tests.builders import LIMITS, NO_LIMITS, a_file, a_job

RESUMED = a_job(resumed=True)
SECRET = "hunter2"


def refusal(job: Job, **values: object) -> RefusedError:
    """Of an edit that must not be allowed."""
    with pytest.raises(RefusedError) as refused:
        set_properties(job, values)
    return refused.value


def test_an_edit_changes_what_it_names_and_nothing_else() -> None:
    job = a_job(description="old", revision=3)
    after = set_properties(job, {"description": "new", "priority": Priority.LOW})
    properties = replace(job.properties, description="new", priority=Priority.LOW)
    assert after == replace(job, properties=properties)


# before and after the first Resume


@pytest.mark.parametrize(
    "values", [{"http_method": "POST"}, {"dynamic_content": True}, {"maximum_download_size": 5}], ids=str
)
def test_some_properties_are_read_only_after_the_first_resume(values: Mapping[str, object]) -> None:
    refused = refusal(RESUMED, **values)
    assert refused.code == "BG_E_READ_ONLY_PROPERTY_AFTER_RESUME"
    assert refused.facts["field"] == next(iter(values))
    after = set_properties(a_job(), values).properties
    assert {name: getattr(after, name) for name in values} == dict(values)


def test_naming_the_present_method_is_no_change() -> None:
    assert set_properties(RESUMED, {"http_method": "GET"}) == RESUMED


def test_everything_else_may_be_set_after_resume() -> None:
    values = {
        "display_name": "x",
        "description": "y",
        "priority": Priority.HIGH,
        "minimum_retry_delay": 7,
        "no_progress_timeout": 0,
        "maximum_download_time": 8,
        "notify_flags": (),
        "notify_command": ("/bin/true",),
        "notify_interval_ms": 1,
        "proxy_usage": "NO_PROXY",
        "custom_headers": "A: b",
        "custom_headers_write_only": True,
        "security_flags": ("SSL_IGNORE_UNKNOWN_CA",),
        "cost_policy": "STANDARD",
    }
    after = set_properties(RESUMED, values).properties
    assert {name: getattr(after, name) for name in values} == values


@pytest.mark.parametrize("size", [0, -1])
def test_a_maximum_download_size_below_one_byte_is_refused(size: int) -> None:
    assert refusal(a_job(), maximum_download_size=size).code == "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE"
    assert set_properties(a_job(), {"maximum_download_size": 1}).properties.maximum_download_size == 1


# write-only headers


def test_headers_made_write_only_stay_so() -> None:
    job = set_properties(a_job(), {"custom_headers_write_only": True})
    refused = refusal(job, custom_headers_write_only=False)
    assert (refused.code, refused.facts["field"]) == ("BG_E_READ_ONLY_PROPERTY", "custom_headers_write_only")
    assert set_properties(job, {"custom_headers_write_only": True, "custom_headers": "A: b"}).properties.custom_headers


def test_headers_that_were_never_write_only_may_be_told_to_be_readable() -> None:
    assert set_properties(a_job(), {"custom_headers_write_only": False}) == a_job()


# custom methods


def test_a_custom_method_pins_the_job_to_the_foreground() -> None:
    job = set_properties(a_job(), {"http_method": "POST"})
    assert job.properties.priority is Priority.FOREGROUND
    for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
        refused = refusal(job, priority=priority)
        assert (refused.code, refused.facts["field"]) == ("BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD", "priority")
    assert set_properties(job, {"priority": Priority.FOREGROUND}) == job
    assert refusal(a_job(), http_method="POST", priority=Priority.LOW).facts["field"] == "priority"


def test_a_custom_method_does_not_go_with_dynamic_content_in_either_order() -> None:
    for first, second in (
        ({"http_method": "POST"}, {"dynamic_content": True}),
        ({"dynamic_content": True}, {"http_method": "POST"}),
    ):
        refused = refusal(set_properties(a_job(), first), **second)
        assert refused.code == "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD"


@pytest.mark.parametrize(
    ("flags", "ok"),
    [
        (("REDIRECT_DISALLOW",), True),
        (("REDIRECT_ALLOW_REPORT", "REDIRECT_ALLOW_HTTPS_TO_HTTP"), True),
        (("REDIRECT_DISALLOW", "REDIRECT_ALLOW_REPORT"), False),
        (("REDIRECT_ALLOW_SILENT", "REDIRECT_DISALLOW"), False),
    ],
    ids=str,
)
def test_a_job_has_one_redirect_policy(flags: tuple[str, ...], ok: bool) -> None:
    if ok:
        assert set_properties(a_job(), {"security_flags": flags}).properties.security_flags == flags
    else:
        refused = refusal(a_job(), security_flags=flags)
        assert (refused.code, refused.facts["field"]) == ("E_INVALIDARG", "security_flags")


# proxies


@pytest.mark.parametrize("usage", ["PRECONFIG", "NO_PROXY", "AUTODETECT"])
def test_only_override_takes_a_list_or_a_bypass(usage: str) -> None:
    assert refusal(a_job(), proxy_usage=usage, proxy_list="p:1").facts["field"] == "proxy.list"
    assert refusal(a_job(), proxy_usage=usage, proxy_bypass="<local>").facts["field"] == "proxy.bypass"
    assert set_properties(a_job(), {"proxy_usage": usage}).properties.proxy_usage == usage


def test_override_needs_a_list() -> None:
    for values in ({"proxy_usage": "OVERRIDE"}, {"proxy_usage": "OVERRIDE", "proxy_list": ""}):
        refused = refusal(a_job(), **values)
        assert (refused.code, refused.facts["field"]) == ("E_INVALIDARG", "proxy.list")
    values = {"proxy_usage": "OVERRIDE", "proxy_list": "p:1", "proxy_bypass": "<local>"}
    job = set_properties(a_job(), values)
    assert refusal(job, proxy_usage="NO_PROXY").facts["field"] == "proxy.list"  # the old list must go with it
    set_properties(job, {"proxy_usage": "NO_PROXY", "proxy_list": None, "proxy_bypass": None})


@pytest.mark.parametrize(
    ("name", "code"),
    [("proxy_list", "BG_E_PROXY_LIST_TOO_LARGE"), ("proxy_bypass", "BG_E_PROXY_BYPASS_LIST_TOO_LARGE")],
)
def test_proxy_settings_hold_four_thousand_characters(name: str, code: str) -> None:
    values: dict[str, object] = {"proxy_usage": "OVERRIDE", "proxy_list": "p:1"}
    set_properties(a_job(), values | {name: "p" * 4000})
    refused = refusal(a_job(), **values | {name: "p" * 4001})
    assert (refused.code, refused.facts["limit"]) == (code, 4000)


# headers


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", {}),
        ("X-A: 1\r\n", {"X-A": "1"}),
        ("X-A: 1\r\nX-B:2\r\n", {"X-A": "1", "X-B": "2"}),
        ("X-A: 1\nX-B: 2", {"X-A": "1", "X-B": "2"}),
        ("X-A:\r\n", {"X-A": ""}),
        ("X-A:  a: b\tc  \r\n", {"X-A": "a: b\tc"}),
        ("Authorization: Bearer x\r\nUser-Agent: me", {"Authorization": "Bearer x", "User-Agent": "me"}),
    ],
    ids=repr,
)
def test_headers_are_lines_of_name_and_value(text: str, headers: dict[str, str]) -> None:
    assert parse_headers(text) == headers


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET}",
        f": {SECRET}",
        f"X A: {SECRET}",
        f"X-A : {SECRET}",
        f" X-A: {SECRET}",
        f"X-A: 1\r\n folded {SECRET}",
        f"X-A: {SECRET}\rX-B: 2",
        f"X-A: {SECRET}\x00",
        f"X-A: {SECRET}\x7f",
        f"X-A: 1\r\n\r\nGET /{SECRET} HTTP/1.1",
        f"X-Ä: {SECRET}",
        f"Range: bytes={SECRET}",
        f"content-LENGTH: {SECRET}",
        f"Transfer-Encoding: {SECRET}",
        f"If-Range: {SECRET}",
        f"Accept-Encoding: {SECRET}",
        f"Connection: {SECRET}",
    ],
    ids=repr,
)
def test_headers_that_could_break_a_request_are_refused_without_showing_their_value(text: str) -> None:
    refused = refusal(a_job(), custom_headers=text)
    assert (refused.code, refused.facts["field"]) == ("E_INVALIDARG", "custom_headers")
    assert SECRET not in str(refused)


@given(st.text(alphabet=st.sampled_from("aX-: \r\n\t\x00\x0b\x85\u2028é"), max_size=20))
def test_no_text_whatever_smuggles_a_line_into_a_request(text: str) -> None:
    try:
        headers = parse_headers(text)
    except RefusedError:
        return
    for name, value in headers.items():
        assert name
        assert not set("\r\n\x00") & set(name + value)
        assert not set(": \t") & set(name)


# files and ranges


def with_files(count: int) -> Job:
    return a_job(totals=Totals(files=count))


def test_a_job_holds_as_many_files_as_the_limit_says() -> None:
    files = [a_file(0), a_file(1)]
    check_files(with_files(198), files, LIMITS, is_exempt=False)
    with pytest.raises(RefusedError) as refused:
        check_files(with_files(199), files, LIMITS, is_exempt=False)
    assert (refused.value.code, refused.value.facts["limit"]) == ("BG_E_TOO_MANY_FILES_IN_JOB", 200)


def test_a_file_holds_as_many_ranges_as_the_limit_says() -> None:
    ranges = tuple((10 * number, 5) for number in range(501))
    check_files(a_job(), [a_file(ranges=ranges[:500])], LIMITS, is_exempt=False)
    with pytest.raises(RefusedError) as refused:
        check_files(a_job(), [a_file(), a_file(1, ranges=ranges)], LIMITS, is_exempt=False)
    assert (refused.value.code, refused.value.facts["limit"]) == ("BG_E_TOO_MANY_RANGES_IN_FILE", 500)
    assert refused.value.facts["field"] == "files.1.ranges"


@pytest.mark.parametrize(("limits", "is_exempt"), [(LIMITS, True), (NO_LIMITS, False)], ids=["root", "no limits"])
def test_root_is_exempt_and_zero_means_no_limit(limits: Limits, is_exempt: bool) -> None:
    ranges = tuple((10 * number, 5) for number in range(501))
    check_files(with_files(1000), [a_file(ranges=ranges)], limits, is_exempt=is_exempt)


def test_even_root_gets_no_overlapping_ranges() -> None:
    with pytest.raises(RefusedError):
        check_files(a_job(), [a_file(ranges=((0, 2), (1, 2)))], NO_LIMITS, is_exempt=True)


def test_a_dynamic_job_takes_no_ranges() -> None:
    with pytest.raises(RefusedError) as refused:
        check_files(a_job(dynamic_content=True), [a_file(ranges=((0, 5),))], LIMITS, is_exempt=False)
    assert refused.value.code == "BG_E_UNSUPPORTED_JOB_CONFIGURATION"


@pytest.mark.parametrize(
    ("ranges", "ok"),
    [
        (((100, 100), (900, 100), (400, 100)), True),
        (((0, 10), (10, 10)), True),
        (((10, 10), (0, 10)), True),
        (((0, 10), (9, 10)), False),
        (((0, 100), (10, 5)), False),
        (((50, None), (0, 50)), True),
        (((50, None), (0, 51)), False),
        (((0, None), (50, 1)), False),
        (((0, None), (10**18, 1)), False),
        (((0, None), (0, None)), False),
        (((0, 5), (0, 5)), False),
        (((100, 5), (100, None)), False),
        (((100, None), (100, 5)), False),
    ],
    ids=str,
)
def test_ranges_may_come_in_any_order_but_not_share_a_byte(
    ranges: tuple[tuple[int, int | None], ...], ok: bool
) -> None:
    if ok:
        check_ranges(ranges, "files.0.ranges")
    else:
        with pytest.raises(RefusedError) as refused:
            check_ranges(ranges, "files.0.ranges")
        assert (refused.value.code, refused.value.facts["field"]) == ("BG_E_OVERLAPPING_RANGES", "files.0.ranges")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=5))
def test_ranges_are_refused_exactly_when_a_byte_is_in_two_of_them(ranges: list[tuple[int, int]]) -> None:
    asked = [byte for offset, length in ranges for byte in range(offset, offset + length)]
    if len(asked) == len(set(asked)):
        check_ranges(ranges, "files.0.ranges")
    else:
        with pytest.raises(RefusedError, match="share the byte"):
            check_ranges(ranges, "files.0.ranges")
