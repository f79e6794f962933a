"""The server's certificate, replaced while it serves: gRPC and HTTP show the new one to whoever comes next.

The files are looked at every few seconds. A pair that does not do, or is there by halves, changes nothing: the old one
goes on being shown, and the log says why. What is shown is ready before a handshake asks for it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from loguru import logger

from taskrun.adapters.ca.certificates import life_of
from taskrun.adapters.ca.disk import read_public
from taskrun.adapters.ca.files import load_server_pair
from taskrun.adapters.grpc.tls import ServerTls
from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.events import ServerCertificateShown
from taskrun.engine.background import Background
from taskrun.ports.clock import Clock
from taskrun.ports.telemetry import Telemetry

#: Seconds between two looks at the files.
LOOK = 5.0
#: Milliseconds between two warnings that the certificate ends soon.
REMIND_MS = 86_400_000


def server_files(directory: Path) -> tuple[Path, Path, Path]:
    """Where the certificate, its key and its CA are."""
    return directory / "server.crt", directory / "server.key", directory / "ca.crt"


class ServerCertificate:
    """The certificate, key and CA of one directory. Raises `FailedPrecondition` if they do not do when it begins."""

    def __init__(self, directory: Path, clock: Clock, telemetry: Telemetry) -> None:
        self._paths = server_files(directory)
        self._clock, self._telemetry = clock, telemetry
        self._http: list[ssl.SSLContext] = []
        #: What the files were when they were last looked at.
        self._seen = self._stamps()
        self._tls, self._life = self._load()
        self._warned_at_ms = 0
        self._background = Background("server certificate", self._watch)

    def tls(self) -> ServerTls:
        """What gRPC shows now."""
        return self._tls

    def http(self) -> ssl.SSLContext:
        """For HTTP: it shows what is new by itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._paths[:2])
        self._http.append(context)
        return context

    def start(self) -> None:
        """Looks at the files from now on; doing it twice is harmless."""
        if not self._background.is_started:
            self._tell()
            self._background.start()

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        await self._background.stop()

    async def _watch(self) -> None:
        while True:
            self._warn()
            await self._clock.sleep_until(self._clock.now().mono + LOOK)
            stamps = self._stamps()
            if stamps != self._seen:
                self._seen = stamps
                # A few milliseconds, once in months.
                self._replace()

    def _replace(self) -> None:
        try:
            tls, life = self._load()
            if tls.ca_pem != self._tls.ca_pem:
                raise FailedPrecondition(f"{self._paths[2]} is another CA: that takes a restart.")
            for context in self._http:
                context.load_cert_chain(*self._paths[:2])
        except (FailedPrecondition, OSError) as error:
            logger.warning("the server's certificate was not replaced: {}", error)
            return
        self._tls, self._life, self._warned_at_ms = tls, life, 0
        logger.info("the server's certificate was replaced")
        self._tell()

    def _load(self) -> tuple[ServerTls, Life]:
        pair = load_server_pair(*self._paths)
        return ServerTls(read_public(self._paths[2]), pair.certificate_pem, pair.key_pem), life_of(pair.certificate)

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        """Whatever changes when one of the files is written or replaced."""
        return tuple(map(_stamp, self._paths))

    def _tell(self) -> None:
        self._telemetry.record([ServerCertificateShown(self._life.ends_ms)])

    def _warn(self) -> None:
        now_ms = self._clock.now().utc_ms
        if now_ms >= self._life.aged_at_ms and now_ms - self._warned_at_ms >= REMIND_MS:
            self._warned_at_ms = now_ms
            hours = (self._life.ends_ms - now_ms) // 3_600_000
            logger.warning("the server's certificate {} ends in {} h: replace it", self._paths[0], hours)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_ino, status.st_size)
