"""A control plane elsewhere, called with the certificates that `taskrun init` made."""

import asyncio
import sys
from pathlib import Path

import taskrun


async def main(address: str, certs: Path) -> None:
    tls = taskrun.ClientTls(*((certs / name).read_bytes() for name in ("ca.crt", "client.crt", "client.key")))
    async with taskrun.AsyncClient(address, tls) as client:
        task = await client.create(taskrun.TaskSpec("echo", '"Hello!"'))
        async for entries in client.watch(task.id):
            for entry in entries:
                if isinstance(entry.body, taskrun.OutputSegment):
                    print(*entry.body.contents, sep="", flush=True)
        print((await client.get(task.id)).status.value)


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
