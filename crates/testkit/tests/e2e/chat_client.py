"""A WebSocket client: `many URL COUNT`, or `one URL`, which reads lines to say and prints what it hears."""

import asyncio
import random
import sys

import websockets

SIZES = [1, 2, 125, 126, 127, 4096, 65535, 65536, 65537, 300_001, 2**20]


def connect(url):
    return websockets.connect(
        url, max_size=2**21, max_queue=2, compression=None, open_timeout=120, ping_interval=None
    )


async def talk(url, number, all_open):
    noise = random.Random(number)
    async with connect(url) as socket:
        # Nobody begins before everybody is there.
        all_open["left"] -= 1
        if all_open["left"] == 0:
            all_open["event"].set()
        await all_open["event"].wait()
        sizes = SIZES[:]
        noise.shuffle(sizes)
        for size in sizes:
            said = noise.randbytes(size)
            await socket.send(said)
            if await socket.recv() != said:
                raise SystemExit(f"client {number}: other bytes came back, of {size}")
        await (await socket.ping())
    return len(sizes)


async def many(url, count):
    all_open = {"left": count, "event": asyncio.Event()}
    echoed = await asyncio.gather(*(talk(url, number, all_open) for number in range(count)))
    print(sum(echoed), flush=True)


async def one(url):
    loop = asyncio.get_running_loop()
    async with connect(url) as socket:
        print("open", flush=True)
        try:
            while line := (await loop.run_in_executor(None, sys.stdin.readline)).rstrip("\n"):
                await socket.send(line)
                print(await socket.recv(), flush=True)
            await socket.close(4001, "enough")
        except websockets.ConnectionClosed:
            pass
    print(f"closed {socket.close_code} {socket.close_reason}", flush=True)


if sys.argv[1] == "many":
    asyncio.run(many(sys.argv[2], int(sys.argv[3])))
else:
    asyncio.run(one(sys.argv[2]))
