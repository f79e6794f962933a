"""The gRPC server: mutual TLS only, every method behind the guard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from taskrun.adapters.grpc.access import Context, Guard, Handler, begin
from taskrun.adapters.grpc.address import Address, parse_address
from taskrun.adapters.grpc.certificate_service import CertificateService
from taskrun.adapters.grpc.key_service import KeyService
from taskrun.adapters.grpc.options import SERVER_OPTIONS, Options
from taskrun.adapters.grpc.run_service import RunService, StreamTimers
from taskrun.adapters.grpc.task_service import TaskService
from taskrun.adapters.grpc.tls import ServerTls
from taskrun.adapters.grpc.worker_service import WorkerService
from taskrun.domain.errors import FailedPrecondition, Unavailable
from taskrun.domain.identity import Identity
from taskrun.ports.api_keys import ApiKeys
from taskrun.ports.certificates import Admission, CertificateApi
from taskrun.ports.control_plane import TaskApi, WorkerApi, WorkerGateway
from taskrun.ports.enrollment import EnrollmentApi

_DEFAULT_TIMERS = StreamTimers()


class GrpcServer:
    """Offers the control plane's ports on one address."""

    def __init__(
        self,
        address: str,
        tls: Callable[[], ServerTls],
        identify: Callable[[bytes], Identity],
        tasks: TaskApi,
        workers: WorkerApi,
        gateway: WorkerGateway,
        enrollment: EnrollmentApi,
        certificates: CertificateApi,
        admission: Admission,
        timers: StreamTimers = _DEFAULT_TIMERS,
        options: Options = SERVER_OPTIONS,
        enroll_url: Callable[[], str] = lambda: "",
        *,
        keys: ApiKeys,
    ) -> None:
        """`tls` is asked at every handshake, from any thread; it must not fail, nor take time.

        `identify` reads who a peer is from its certificate in PEM form, or raises a `TaskRunError`.

        `enroll_url` says where a bootstrap token can be exchanged.
        """
        self._options = options
        self._address = parse_address(address)
        self._tls, self._guard = tls, Guard(identify, admission)
        self._services: dict[str, dict[str, Handler]] = {
            "taskrun.v1.TaskService": TaskService(tasks).handlers(),
            "taskrun.v1.WorkerService": WorkerService(workers, enrollment, enroll_url).handlers(),
            "taskrun.v1.CertificateService": CertificateService(certificates).handlers(),
            "taskrun.v1.KeyService": KeyService(keys).handlers(),
            "taskrun.v1.RunService": RunService(gateway, timers).handlers(),
        }
        self._health = HealthService()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listens, and returns the port: the address's, or the one that was free if that is 0.

        Raises `Unavailable` if nothing can listen there, and `FailedPrecondition` if the certificate is of no use.
        """
        await _check_free(self._address)
        server = grpc.aio.server(interceptors=[self._guard], options=self._options)
        for name, handlers in self._services.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
            await self._health.set(name, HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        try:
            port = server.add_secure_port(self._address.target, self._credentials())
        except RuntimeError:
            raise FailedPrecondition(f"Cannot serve {self._address} with this certificate, key and CA.") from None
        await server.start()
        self._server = server
        return port

    async def ended(self) -> None:
        """Returns once the server was stopped. Raises `Unavailable` if it ends without that; it must have started."""
        server = self._server
        assert server is not None
        # Cancelling that wait would cancel what the server's own stop waits for.
        await asyncio.shield(server.wait_for_termination())
        if self._server is server:
            raise Unavailable("The gRPC server ended by itself.")

    async def drain(self) -> None:
        """Health checks are answered with NOT_SERVING from now on; calls are served as before."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Takes no more calls, and ends those under way after `grace` seconds; doing it twice is harmless."""
        server, self._server = self._server, None
        if server is not None:
            await self.drain()
            await server.stop(grace)

    def _credentials(self) -> grpc.ServerCredentials:
        """Those of the moment: a connection keeps what it began with, and the next one gets what is there by then."""
        tls = self._tls
        shown = tls()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            current = tls()
            if current is shown:
                return None
            shown = current
            return _configuration(current)

        # The stubs do not know that None is no change.
        return grpc.dynamic_ssl_server_credentials(_configuration(shown), fetch, True)  # type: ignore[arg-type]


def _configuration(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key_pem, tls.cert_pem)], tls.ca_pem)


class HealthService(health.aio.HealthServicer):  # type: ignore[misc]  # it has no types
    """Says whether the server takes calls: `grpc.health.v1.Health`."""

    async def Watch(self, request: HealthCheckRequest, context: Context) -> None:
        """See its class; its stream begins like all the others."""
        await begin(context)
        await super().Watch(request, context)


async def _check_free(address: Address) -> None:
    """Raises `Unavailable` with the reason if nothing can listen here: gRPC prints it, but does not tell."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = found[0]
        socket.create_server(where[:2], family=family).close()
    except OSError as error:
        # asyncio's and socket's own words are longer, and name the address once more.
        reason = str(error.strerror or error).partition(" (")[0]
        raise Unavailable(f"Cannot listen on {address}: {reason}.") from None
