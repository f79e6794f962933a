"""Every call passes here: `taskrun.domain.rights` says whether it may, and errors become statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from loguru import logger

from taskrun.adapters.grpc.errors import details_of, status_of, trailer_of
from taskrun.domain.errors import InvalidArgument, PermissionDenied, TaskRunError, Unauthenticated
from taskrun.domain.identity import Identity
from taskrun.domain.rights import check_right
from taskrun.ports.certificates import Admission

# In quotes: these classes are generic for type checkers only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]

#: Seconds that the end of a call may take. A peer that reads nothing gets it when it does.
_FAREWELL = 2.0

_HANDLERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}

_CALLER: ContextVar[Identity] = ContextVar("caller")


def caller() -> Identity:
    """Who makes the call that is being served."""
    return _CALLER.get()


class Guard(grpc.aio.ServerInterceptor):
    """Lets a call in by its certificate, ends it when that loses its worth, and turns errors into statuses."""

    def __init__(self, identify: Callable[[bytes], Identity], admission: Admission) -> None:
        """`identify` reads the identity from a certificate in PEM form, or raises a `TaskRunError`."""
        self._identify = lru_cache(maxsize=4096)(identify)
        self._admission = admission
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The method's handler behind this guard; None, which gRPC answers with UNIMPLEMENTED, if there is none."""
        method = handler_call_details.method
        if method not in self._guarded:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._guarded[method] = self._guard(method, handler)
        return self._guarded[method]

    def _guard(self, method: str, handler: Handler) -> Handler:
        # The stubs know only the functions of the other, threaded server.
        behaviour = cast(Behaviour, handler.unary_unary or handler.unary_stream or handler.stream_stream)
        parse, streams = handler.request_deserializer, handler.response_streaming

        async def guarded(request: Any, context: Context) -> Any:
            try:
                identity = self._admit(method, context)
                # gRPC itself would answer an unreadable request with the text of an exception.
                request = parse(request) if parse else request
                if streams:
                    return await self._while_valid(identity, behaviour(request, context))
                return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except TaskRunError as error:
                fault = error
            except DecodeError:
                fault = InvalidArgument("The request cannot be read.")
            except Exception as error:
                if context.done():
                    return None
                fault = TaskRunError(str(error))
                fault.__cause__ = error
            return await _end(method, context, fault)

        make = _HANDLERS[handler.request_streaming, streams]
        return make(guarded, request_deserializer=None, response_serializer=handler.response_serializer)

    def _admit(self, method: str, context: Context) -> Identity:
        """The caller, if this is its to call."""
        pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        if pem is None:
            raise Unauthenticated("The call came without a client certificate.")
        identity = self._identify(pem)
        _CALLER.set(identity)
        self._admission.admit(identity)
        check_right(identity.role, method)
        return identity

    async def _while_valid(self, identity: Identity, call: Awaitable[Any]) -> Any:
        """gRPC lets a stream live on when its certificate has expired or was revoked; this ends it."""
        faults: list[TaskRunError] = []
        try:
            async with asyncio.timeout(None) as limit:

                def cut(fault: TaskRunError) -> None:
                    faults.append(fault)
                    limit.reschedule(asyncio.get_running_loop().time())

                with self._admission.present(identity, cut):
                    return await call
        except TimeoutError:
            if limit.expired():
                raise faults[0] from None
            raise


async def begin(context: Context) -> None:
    """Begins the answer of a stream: each does so before its first write.

    Else the beginning goes out with that write, and again with the end if the write was cut short, which gRPC refuses:
    the caller would never hear of the end.
    """
    await context.send_initial_metadata(())


async def _end(method: str, context: Context, error: TaskRunError) -> None:
    status = status_of(error)
    if status is grpc.StatusCode.INTERNAL:
        logger.opt(exception=error).error("a call of {} failed", method)
    elif isinstance(error, (PermissionDenied, Unauthenticated)):
        logger.warning("refused a call of {}: {}", method, error.message, **_who())
    try:
        async with asyncio.timeout(_FAREWELL):
            await context.abort(status, details_of(error), trailer_of(error))
    except TimeoutError:
        raise asyncio.CancelledError from None


def _who() -> dict[str, str]:
    """Whose call it is, for the log: nobody's before its certificate was read."""
    identity = _CALLER.get(None)
    return {"role": identity.role.value, "caller": identity.name} if identity else {}
