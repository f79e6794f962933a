"""What can go wrong, named by who is at fault.

Adapters translate these at their edge: gRPC to a status code, HTTP to a status, the CLI to an exit code.
The message of each is written for a person; it holds no secret, no path and no traceback.
"""

from __future__ import annotations


class TaskRunError(Exception):
    """Base of every error that TaskRun raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# The caller is at fault.


class InvalidArgument(TaskRunError):
    """The request is malformed, or a value is out of its range."""


class NotFound(TaskRunError):
    """No object has that id."""


class FailedPrecondition(TaskRunError):
    """The request is well-formed, but the object's state does not allow it."""


class AlreadyExists(TaskRunError):
    """The name is taken, or the idempotency key was used before, for another request."""


class Unauthenticated(TaskRunError):
    """Nobody who is known: the credential is missing, unknown, used or expired."""


class PermissionDenied(TaskRunError):
    """Known, but not allowed to do this."""


class ResourceExhausted(TaskRunError):
    """More than a limit allows; trying later may help."""


# A peer broke the protocol.


class ProtocolViolation(TaskRunError):
    """A worker or control plane sent what WIRE.md does not allow; its stream is ended."""


# The world is at fault.


class Unavailable(TaskRunError):
    """A part that is needed does not answer now; nothing was changed, trying again is safe."""


class StoreFailed(Unavailable):
    """The store refused a commit. Nothing of the batch was stored."""


class LeaseLost(StoreFailed):
    """What this control plane has is not what it believes: another took it for dead and has all of it, or it does not
    know whether it has taken over from another. It begins again from what is stored."""


class Overruled(StoreFailed):
    """The batch would end these tasks in another way than CANCELLED, and somebody has been told that they are
    cancelled. To be stored once it says so."""

    def __init__(self, task_ids: tuple[str, ...]) -> None:
        super().__init__(f"A cancel was asked for at another control plane: {', '.join(task_ids)}.")
        self.task_ids = task_ids


class Overbooked(StoreFailed):
    """The batch would have these new tasks run, and as many run as limits allow all control planes together. To be
    stored once it says that they wait."""

    def __init__(self, task_ids: tuple[str, ...]) -> None:
        super().__init__(f"As many run as may, at other control planes: {', '.join(task_ids)}.")
        self.task_ids = task_ids


class Unconfirmed(Unavailable):
    """It was passed on, and whoever has it has not said so in time: it may be done still. Trying again is safe under
    the same idempotency key only."""


# We are at fault.


class IllegalMove(TaskRunError):
    """A state machine has no such move. Reaching this is a bug of TaskRun, never of its input."""

    def __init__(self, machine: str, state: object, event: object) -> None:
        super().__init__(f"{machine} machine: no move from {state} on {event}")
        self.machine, self.state, self.event = machine, state, event
