from __future__ import annotations

import grpc
import pytest

from taskrun.adapters.grpc.errors import MAX_DETAILS, details_of, error_of, is_unchanged, status_of, trailer_of
from taskrun.domain import errors

S = grpc.StatusCode
TABLE = [
    (errors.InvalidArgument, S.INVALID_ARGUMENT),
    (errors.NotFound, S.NOT_FOUND),
    (errors.FailedPrecondition, S.FAILED_PRECONDITION),
    (errors.AlreadyExists, S.ALREADY_EXISTS),
    (errors.Unauthenticated, S.UNAUTHENTICATED),
    (errors.PermissionDenied, S.PERMISSION_DENIED),
    (errors.ResourceExhausted, S.RESOURCE_EXHAUSTED),
    (errors.Unavailable, S.UNAVAILABLE),
]


@pytest.mark.parametrize(("kind", "status"), TABLE)
def test_an_error_arrives_as_what_it_was(kind: type[errors.TaskRunError], status: S) -> None:
    assert status_of(kind("why")) is status
    for sent in (status, status.value[0]):
        arrived = error_of(sent, "why")
        assert (type(arrived), arrived.message) == (kind, "why")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ProtocolViolation("why"), S.FAILED_PRECONDITION),
        (errors.StoreFailed("why"), S.UNAVAILABLE),
        (errors.Unconfirmed("why"), S.UNAVAILABLE),
        (errors.IllegalMove("task", "a", "b"), S.INTERNAL),
        (errors.TaskRunError("why"), S.INTERNAL),
    ],
)
def test_an_error_without_a_status_of_its_own_has_its_parents(error: errors.TaskRunError, status: S) -> None:
    assert status_of(error) is status


def test_every_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TaskRunError)]
    assert {kind for kind, _ in TABLE} < set(kinds)
    assert all(isinstance(status_of(kind.__new__(kind)), S) for kind in kinds)


@pytest.mark.parametrize("status", [S.INTERNAL, S.UNKNOWN, S.DATA_LOSS, S.ABORTED, 12345])
def test_a_status_that_names_no_one_is_an_error_all_the_same(status: S | int) -> None:
    assert type(error_of(status, "why")) is errors.TaskRunError


def test_a_fault_of_ours_is_not_told() -> None:
    assert details_of(errors.IllegalMove("task", "a", "b")) == "internal error"


def test_details_are_cut_to_what_a_header_can_hold() -> None:
    assert len(details_of(errors.NotFound("x" * 10_000))) == MAX_DETAILS
    assert len(details_of(errors.NotFound("é\ud800" * 10_000)).encode()) <= MAX_DETAILS
    assert details_of(errors.NotFound("There is no task é.")) == "There is no task é."


class Failed:
    """An `RpcError`, as far as it is looked at."""

    def __init__(self, trailer: object) -> None:
        self._trailer = trailer

    def trailing_metadata(self) -> object:
        return self._trailer


@pytest.mark.parametrize(
    ("kind", "unchanged"),
    [*((kind, kind is errors.Unavailable) for kind, _ in TABLE), (errors.Unconfirmed, False)],
)
def test_only_who_is_unavailable_says_that_nothing_was_changed(
    kind: type[errors.TaskRunError], unchanged: bool
) -> None:
    assert is_unchanged(Failed(trailer_of(kind("why")))) is unchanged


@pytest.mark.parametrize("trailer", [None, (), (("other", "1"),)])
def test_what_grpc_itself_says_is_no_such_word(trailer: object) -> None:
    assert not is_unchanged(Failed(trailer))
