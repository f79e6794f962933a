"""A worker's certificate is renewed at half its life, and its daemon goes over to the new one."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from taskrun.domain.certificates.renewal import Renewal
from taskrun.domain.errors import TaskRunError
from taskrun.engine.background import Background
from taskrun.ports.certificates import Renewer
from taskrun.ports.clock import Clock

#: Seconds between two looks at the wall clock, which may be set, and stands still for no machine that sleeps.
LOOK = 60.0


class CertificateKeeper:
    """One task of its own. `chance` gives numbers from 0 to 1; `renewed` is called when there is a new certificate."""

    def __init__(
        self, renewer: Renewer, clock: Clock, chance: Callable[[], float], renewed: Callable[[], None]
    ) -> None:
        self._renewer, self._clock, self._renewed = renewer, clock, renewed
        self._plan = Renewal(renewer.life(), chance)
        self._background = Background("certificate keeper", self._run)

    def start(self) -> None:
        """Begins; doing it twice is harmless."""
        self._background.start()

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            now = self._clock.now()
            if self._plan.is_due(now.utc_ms):
                await self._renew()
            else:
                await self._clock.sleep_until(now.mono + min(LOOK, self._plan.wait_ms(now.utc_ms) / 1000))

    async def _renew(self) -> None:
        try:
            life = await self._renewer.renew()
        except TaskRunError as error:
            self._failed(error.message)
        except Exception as error:
            logger.opt(exception=error).debug("a renewal failed")
            self._failed(str(error))
        else:
            self._plan.renewed(life)
            logger.info("the certificate was renewed")
            self._renewed()

    def _failed(self, why: str) -> None:
        now_ms = self._clock.now().utc_ms
        self._plan.failed(now_ms)
        level = "WARNING" if self._plan.is_grave(now_ms) else "INFO"
        again, left = self._plan.wait_ms(now_ms) / 1000, self._plan.left_ms(now_ms) // 1000
        logger.log(level, "the certificate, which ends in {} s, is not renewed: {} Again in {:g} s.", left, why, again)
