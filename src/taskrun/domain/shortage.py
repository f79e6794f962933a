"""What nobody has for a task, in the same words wherever it is said: in its failure, and when somebody asks why."""

from __future__ import annotations

from taskrun.domain.records import Requirement


def shortage(requirement: Requirement, offering: int, fitting: int) -> str:
    """What all connected workers lack, if none of them can take such a task now.

    So many of them offer the agent, and so many of these have the labels too.
    """
    if not offering:
        return f"no connected worker offers the agent {requirement.agent}"
    if not fitting:
        return f"no worker that offers the agent {requirement.agent} has the labels that it asks for"
    return "no worker that it could go to has a free slot"
