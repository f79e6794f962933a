"""What nobody has for a task, in the same words wherever it is said: in its failure, and when somebody asks why."""

from __future__ import annotations

from taskrun.domain.records import Requirement


def shortage(requirement: Requirement, offering: int, fitting: int, held: str = "") -> str:
    """What all connected workers lack, if none of them can take such a task now, or which limit holds it, if one does.

    So many of them offer the agent, and so many of these have the labels too. `held` tells the limit, "" if none holds
    it: a limit makes room by itself, and what nobody is or has does not come by itself, so that is told first.
    """
    if offering and fitting:
        return held or "no worker that it could go to has a free slot"
    lack = _misfit(requirement) if offering else f"no connected worker offers the agent {requirement.agent}"
    return f"{lack}, and {held}" if held else lack


def _misfit(requirement: Requirement) -> str:
    return f"no worker that offers the agent {requirement.agent} has the labels that it asks for"
