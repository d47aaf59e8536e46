"""A WebSocket server on a free port, which it prints. It says back what it hears, but for a few commands."""

import asyncio

import websockets


async def serve(socket):
    try:
        async for message in socket:
            await answer(socket, message)
    except websockets.ConnectionClosed:
        # With a code that is not 1000, which is the client's business.
        pass


async def answer(socket, message):
    if message == "ping me":
        await (await socket.ping(b"are you there"))
        await socket.send("you are there")
    elif isinstance(message, str) and message.startswith("close "):
        _, code, reason = message.split(" ", 2)
        await socket.close(int(code), reason)
    else:
        await socket.send(message)


async def main():
    async with websockets.serve(
        serve, "127.0.0.1", 0, max_size=2**21, max_queue=2, compression=None, ping_interval=None
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
