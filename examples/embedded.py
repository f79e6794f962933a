"""A control plane in this process, with a Python function as the agent."""

import asyncio

import taskrun


async def main() -> None:
    plane = taskrun.LocalControlPlane()

    @plane.agent("greeter")
    async def greet(request: taskrun.AgentRequest, sink: taskrun.AgentSink) -> None:
        await sink.text(f"Hello, {request.input_json}!")

    async with plane:
        task = await plane.create("greeter", "world", labels={"team": "docs"})
        print(await plane.output(task.id))


asyncio.run(main())
