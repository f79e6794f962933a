from __future__ import annotations

import pytest

from taskrun.domain.records import Run, TaskSpec
from taskrun.domain.retry import NOT_THE_AGENTS_FAULT, attempts, may_retry
from taskrun.domain.status import FailureKind, RunStatus

AGENTS_OWN = sorted(set(FailureKind) - NOT_THE_AGENTS_FAULT, key=lambda kind: kind.value)


def failed(*failures: FailureKind) -> list[Run]:
    return [Run(str(n), "w", RunStatus.FAILED, n, failure=failure) for n, failure in enumerate(failures, 1)]


def spec(max_attempts: int = 3, *retry_on: FailureKind) -> TaskSpec:
    return TaskSpec("echo", "1", max_attempts=max_attempts, retry_on=frozenset(retry_on))


@pytest.mark.parametrize("failure", AGENTS_OWN)
def test_an_agents_own_failure_is_final_unless_the_task_asks(failure: FailureKind) -> None:
    assert not may_retry(spec(), failed(failure))
    assert may_retry(spec(3, failure), failed(failure))


@pytest.mark.parametrize("failure", [FailureKind.WORKER_LOST, FailureKind.CANCELLED, *AGENTS_OWN])
def test_three_attempts_are_three_runs(failure: FailureKind) -> None:
    task = spec(3, failure)
    assert may_retry(task, failed(failure, failure))
    assert not may_retry(task, failed(failure, failure, failure))


def test_a_run_that_was_not_taken_is_no_attempt() -> None:
    refused = [FailureKind.REJECTED] * 5
    assert may_retry(spec(1), failed(*refused))
    assert attempts(failed(*refused, FailureKind.WORKER_LOST)) == 1
    assert not may_retry(spec(1), failed(*refused, FailureKind.WORKER_LOST))


def test_only_the_last_failure_says_whether_a_retry_makes_sense() -> None:
    assert not may_retry(spec(), failed(FailureKind.WORKER_LOST, FailureKind.AGENT_ERROR))
    assert may_retry(spec(), failed(FailureKind.AGENT_ERROR, FailureKind.WORKER_LOST))
