"""The state machine against spec/service.md §2.2 and §2.3, written out here once more: the code is not asked."""

import itertools
import re
from dataclasses import replace

import pytest

from jobqueue.errors import InvalidStateError
from jobqueue.job import Intent, Job, State, Totals
from jobqueue.states import Trigger, advance, diagram
from tests.builders import NOT_FOUND, TIMED_OUT, a_job

COLUMNS = "SUSPENDED QUEUED CONNECTING TRANSFERRING TRANSIENT_ERROR ERROR TRANSFERRED ACKNOWLEDGED CANCELLED"
ORDER = COLUMNS.split()

# `=` stays and changes nothing, a state is where it leads, IS is refused; columns as in ORDER
TABLE = {
    # §2.2: calls
    Trigger.EDIT: "= = = = = = = IS IS",
    Trigger.SUSPEND: "= SUSPENDED SUSPENDED SUSPENDED SUSPENDED SUSPENDED SUSPENDED IS IS",
    Trigger.RESUME: "QUEUED = = = QUEUED QUEUED QUEUED IS IS",
    Trigger.COMPLETE: "ACKNOWLEDGED " * 7 + "IS IS",
    Trigger.CANCEL: "CANCELLED " * 7 + "IS IS",
    Trigger.INVALIDATE: "ERROR " * 7 + "IS IS",
    Trigger.RENAME_FAILED: "TRANSFERRED " * 6 + "= IS IS",
    # §2.3: what happens by itself
    Trigger.START: "IS TRANSFERRING IS IS IS IS IS IS IS",
    Trigger.YIELD: "IS IS QUEUED QUEUED IS IS IS IS IS",
    Trigger.SLICE_END: "IS IS QUEUED QUEUED IS IS IS IS IS",
    # a Resumed job with nothing new falls straight from QUEUED back to TRANSFERRED (§2.2)
    Trigger.FINISH: "IS TRANSFERRED TRANSFERRED TRANSFERRED IS IS IS IS IS",
    Trigger.FAIL: "IS IS TRANSIENT_ERROR TRANSIENT_ERROR IS IS IS IS IS",
    Trigger.FAIL_FATAL: "IS IS ERROR ERROR IS IS IS IS IS",
    Trigger.RETRY: "IS IS IS IS QUEUED IS IS IS IS",
    Trigger.GIVE_UP: "IS IS IS IS ERROR IS IS IS IS",
    Trigger.OVERRUN: "IS IS ERROR ERROR IS IS IS IS IS",
    Trigger.EXPIRE: "CANCELLED " * 7 + "IS IS",
}
FAILURES = {Trigger.FAIL, Trigger.FAIL_FATAL, Trigger.OVERRUN, Trigger.INVALIDATE}
CELLS = [
    pytest.param(trigger, State(state), cell, id=f"{trigger.name} in {state}")
    for trigger, row in TABLE.items()
    for state, cell in zip(ORDER, row.split(), strict=True)
]
LIVE = [State(name) for name in ORDER[:7]]


def test_every_trigger_and_every_state_is_in_the_table_of_this_file() -> None:
    assert set(TABLE) == set(Trigger)
    assert set(ORDER) == set(State)


@pytest.mark.parametrize(("trigger", "state", "cell"), CELLS)
def test_each_trigger_in_each_state_does_what_the_specification_says(trigger: Trigger, state: State, cell: str) -> None:
    job = a_job(state)
    error = NOT_FOUND if trigger in FAILURES else None
    if cell == "IS":
        with pytest.raises(InvalidStateError) as refusal:
            advance(job, trigger, 50.0, 5e8, error)
        assert refusal.value.code == "BG_E_INVALID_STATE"
        assert refusal.value.facts["state"] is state
    elif cell == "=":
        assert advance(job, trigger, 50.0, 5e8, error) == job
    else:
        assert advance(job, trigger, 50.0, 5e8, error).state == cell


@pytest.mark.parametrize("intent", ["COMPLETE", "CANCEL"])
@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(LIVE, Trigger)))
def test_nothing_may_happen_to_a_job_that_is_being_completed_or_cancelled(
    intent: Intent, state: State, trigger: Trigger
) -> None:
    with pytest.raises(InvalidStateError, match=r"it is being (completed|cancelled)"):
        advance(a_job(state, intent=intent), trigger, 50.0, 5e8)


@pytest.mark.parametrize(("trigger", "state", "cell"), CELLS)
def test_there_is_an_error_in_error_states_and_nowhere_else(trigger: Trigger, state: State, cell: str) -> None:
    if cell in {"IS", "="}:
        return
    failing = trigger in FAILURES
    after = advance(a_job(state), trigger, 50.0, 5e8, NOT_FOUND if failing else None)
    if trigger is Trigger.GIVE_UP:
        assert after.error == TIMED_OUT  # "the code that remains is the last failure's" (§3.2.4)
    else:
        assert after.error == (NOT_FOUND if failing else None)


def test_a_second_error_of_a_job_in_error_takes_the_place_of_the_first() -> None:
    after = advance(a_job(State.ERROR), Trigger.INVALIDATE, 50.0, 5e8, NOT_FOUND)
    assert (after.state, after.error) == (State.ERROR, NOT_FOUND)


@pytest.mark.parametrize("state", [State.TRANSFERRING, State.QUEUED])
def test_the_time_of_completion_is_stamped_when_the_last_byte_is_there(state: State) -> None:
    assert advance(a_job(state), Trigger.FINISH, 50.0, 5e8).transfer_completed == 5e8
    again = advance(a_job(state, transfer_completed=1e8), Trigger.FINISH, 50.0, 5e8)
    assert again.transfer_completed == 5e8


def test_a_failed_rename_does_not_claim_that_the_transfer_was_completed() -> None:
    assert advance(a_job(State.ERROR), Trigger.RENAME_FAILED, 50.0, 5e8).transfer_completed is None
    again = advance(a_job(State.SUSPENDED, transfer_completed=1e8), Trigger.RENAME_FAILED, 50.0, 5e8)
    assert again.transfer_completed == 1e8


def test_a_preempted_job_keeps_its_place_in_line_and_a_job_whose_slice_ended_goes_to_the_end() -> None:
    running = a_job(State.TRANSFERRING, turn=7.0)
    preempted = advance(running, Trigger.YIELD, 50.0, 5e8)
    assert (preempted.timers.turn, preempted.yielded) == (7.0, False)
    sliced = advance(running, Trigger.SLICE_END, 50.0, 5e8)
    assert (sliced.timers.turn, sliced.yielded) == (50.0, True)
    assert not advance(sliced, Trigger.START, 60.0, 5e8).yielded


@pytest.mark.parametrize(
    ("state", "trigger"), [(State.SUSPENDED, Trigger.RESUME), (State.TRANSIENT_ERROR, Trigger.RETRY)]
)
def test_a_job_that_comes_back_gets_in_line_at_the_end(state: State, trigger: Trigger) -> None:
    assert advance(a_job(state, turn=7.0), trigger, 50.0, 5e8).timers.turn == 50.0


def test_only_time_spent_transferring_counts_as_download_time() -> None:
    job = advance(a_job(State.QUEUED), Trigger.START, 100.0, 5e8)
    assert job.timers.active_since == 100.0
    job = advance(job, Trigger.FAIL, 130.0, 5e8, TIMED_OUT)
    assert (job.timers.active_time, job.timers.active_since) == (30.0, None)
    job = advance(advance(job, Trigger.RETRY, 900.0, 5e8), Trigger.START, 1000.0, 5e8)
    job = advance(job, Trigger.YIELD, 1005.0, 5e8)
    assert job.timers.active_time == 35.0


@pytest.mark.parametrize("state", [State.SUSPENDED, State.TRANSIENT_ERROR, State.ERROR, State.TRANSFERRED])
def test_resume_starts_the_clocks_anew_and_is_remembered(state: State) -> None:
    after = advance(a_job(state, active_time=77.0, no_progress_since=3.0), Trigger.RESUME, 50.0, 5e8)
    assert (after.timers.active_time, after.timers.no_progress_since) == (0.0, None)
    assert after.resumed
    assert after.timers.queued_at == 50.0


def test_a_retry_by_the_clock_does_not_start_the_clocks_anew() -> None:
    after = advance(a_job(State.TRANSIENT_ERROR, active_time=77.0, no_progress_since=3.0), Trigger.RETRY, 50.0, 5e8)
    assert (after.timers.active_time, after.timers.no_progress_since) == (77.0, 3.0)
    assert not after.resumed


@pytest.mark.parametrize("state", [State.QUEUED, State.CONNECTING, State.TRANSFERRING])
def test_resume_of_an_active_job_leaves_its_clocks_alone(state: State) -> None:
    job = a_job(state, active_time=77.0, no_progress_since=3.0)
    assert advance(job, Trigger.RESUME, 50.0, 5e8) == job


def test_the_no_progress_clock_stands_still_while_a_job_waits_for_its_turn() -> None:
    job = advance(a_job(State.TRANSIENT_ERROR, no_progress_since=100.0), Trigger.RETRY, 160.0, 5e8)
    running = advance(job, Trigger.START, 1160.0, 5e8)  # a thousand seconds in line
    assert running.timers.no_progress_since == 1100.0
    failed = advance(running, Trigger.FAIL, 1170.0, 5e8, TIMED_OUT)
    assert failed.timers.no_progress_since == 1100.0  # but it runs on while the job fails


@pytest.mark.parametrize(
    ("state", "trigger"), [(State.TRANSIENT_ERROR, Trigger.SUSPEND), (State.TRANSFERRING, Trigger.FINISH)]
)
def test_suspending_and_finishing_end_the_no_progress_clock(state: State, trigger: Trigger) -> None:
    assert advance(a_job(state, no_progress_since=3.0), trigger, 50.0, 5e8).timers.no_progress_since is None


@pytest.mark.parametrize("trigger", [Trigger.COMPLETE, Trigger.CANCEL, Trigger.EXPIRE])
def test_the_history_of_a_job_begins_when_it_is_final(trigger: Trigger) -> None:
    assert advance(a_job(State.TRANSFERRED), trigger, 50.0, 5e8).timers.final_at == 50.0


@pytest.mark.parametrize(("trigger", "state", "cell"), CELLS)
def test_a_trigger_touches_neither_properties_nor_files_nor_revision(trigger: Trigger, state: State, cell: str) -> None:
    if cell == "IS":
        return
    job = a_job(state, revision=9, changed_seq=4, totals=Totals(2, 1, 10, 1, 5), description="words")
    after = advance(job, trigger, 50.0, 5e8, NOT_FOUND if trigger in FAILURES else None)

    def own(job: Job) -> tuple[object, ...]:
        return (job.id, job.owner, job.properties, job.created, job.modified, job.revision, job.totals, job.error_count)

    assert own(after) == own(job)
    assert after.intent is None


def test_the_diagram_shows_every_change_of_state_of_the_table_and_no_other() -> None:
    drawn: set[tuple[str, str, str]] = set()
    for source, target, names in re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram(), re.MULTILINE):
        drawn |= {(source, target, name) for name in names.split(", ")}
    wanted = {
        (state, cell, str(trigger))
        for trigger, row in TABLE.items()
        for state, cell in zip(ORDER, row.split(), strict=True)
        if cell not in {"IS", "=", state} and state != "CONNECTING"
    }
    assert drawn == wanted
    assert "    [*] --> SUSPENDED: create" in diagram().splitlines()


def test_a_refusal_says_what_was_asked_and_why_not() -> None:
    with pytest.raises(InvalidStateError, match="cannot suspend job j: it is CANCELLED"):
        advance(replace(a_job(State.CANCELLED)), Trigger.SUSPEND, 50.0, 5e8)
