"""A port of your own: every event of the control plane, as it is committed."""

import asyncio
from collections.abc import Sequence

import taskrun


class Printer:
    def record(self, events: Sequence[taskrun.DomainEvent]) -> None:
        print(*(type(event).__name__ for event in events))


async def main() -> None:
    async with taskrun.LocalControlPlane(telemetry=Printer()) as plane:
        task = await plane.create("nobody-offers-this")
        await plane.cancel(task.id)


asyncio.run(main())
