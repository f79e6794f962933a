"""What a control plane does on SIGHUP: it reads its settings again, and from then on has the limits in them."""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger

from taskrun.apps.limit_tables import limits_text
from taskrun.apps.settings import ControlPlaneSettings
from taskrun.domain.errors import TaskRunError
from taskrun.domain.quotas import Policy


def reload(again: Callable[[], ControlPlaneSettings], rule: Callable[[Policy], None]) -> None:
    """Hands over the limits of the settings as they now are. What cannot be read changes nothing, and is told."""
    try:
        settings = again()
    except TaskRunError as error:
        logger.error("the limits stay as they were", why=error.message)
    else:
        rule(settings.policy)
        logger.info("limits are read again", limits=limits_text(settings.limits), fair_by=settings.fair_by)
