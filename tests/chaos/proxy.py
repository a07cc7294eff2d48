"""A TCP proxy whose network can be spoiled while connections are up."""

import asyncio
import random
import socket
import struct
import threading
from asyncio import Queue, StreamReader, StreamWriter
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 1 << 16
_CHUNKS_UNDER_WAY = 64
_POLL_S = 0.05
# linger: on, for no time. What is closed so is reset (RST).
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Network:
    """What happens to bytes on their way. What does not pass is held: a network would retransmit it."""

    delay_s: float = 0.0
    """Each way."""
    reset_share: float = 0.0
    """Share of chunks that are lost, with their connection."""
    requests_pass: bool = True
    answers_pass: bool = True


CLEAR = Network()
SLOW = Network(delay_s=0.2)
RESETTING = Network(reset_share=0.01)
HALF_OPEN = Network(requests_pass=False, answers_pass=False)
"""Connections stay up, and nothing passes."""
DEAF = Network(answers_pass=False)
"""Requests arrive and are carried out, and nobody hears of it."""


class Proxy:
    """Takes connections to `port` of 127.0.0.1 to `upstream`, a port there too; a context manager.

    network: may be set at any time. counts: connections `opened` and `reset`, chunks `passed`,
    `delayed`, and `held` until they may pass.
    """

    def __init__(self, port: int, upstream: int, seed: int) -> None:
        self.network = CLEAR
        self.counts: Counter[str] = Counter()
        self._port = port
        self._upstream = upstream
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._serving = threading.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._serving.wait(timeout=10), f"no proxy on port {self._port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join()

    def reset(self) -> None:
        """Reset all connections; what is held is lost with them."""
        asyncio.run_coroutine_threadsafe(self._reset_all(), self._loop).result()

    async def _serve(self) -> None:
        self._loop, self._enough = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._serving.set()
        await self._enough.wait()
        server.close()

    async def _reset_all(self) -> None:
        connections = list(self._connections)
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connected(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:  # no broker there
            _reset(to_client)
            return
        self.counts["opened"] += 1
        pumps = [
            asyncio.create_task(self._pump(from_client, to_broker, "requests_pass")),
            asyncio.create_task(self._pump(from_broker, to_client, "answers_pass")),
        ]
        in_order = False
        try:
            ended, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            in_order = not any(each.exception() for each in ended)
        finally:
            for each in pumps:
                each.cancel()
            for writer in (to_broker, to_client):
                if in_order:
                    writer.close()
                else:
                    _reset(writer)
            self.counts["reset"] += not in_order

    async def _pump(self, reader: StreamReader, writer: StreamWriter, passes: str) -> None:
        """Move bytes one way, to the end of the stream. Raises ConnectionError if it is reset."""
        chunks: Queue[tuple[float, bytes]] = Queue(_CHUNKS_UNDER_WAY)
        taking = asyncio.create_task(self._take(reader, chunks))
        try:
            while True:
                due, chunk = await chunks.get()
                await asyncio.sleep(due - self._loop.time())
                if not getattr(self.network, passes):
                    self.counts["held"] += 1
                    while not getattr(self.network, passes):  # noqa: ASYNC110 (another thread sets it)
                        await asyncio.sleep(_POLL_S)
                if not chunk:
                    return await taking
                if self._random.random() < self.network.reset_share:
                    raise ConnectionResetError
                writer.write(chunk)
                await writer.drain()
                self.counts["passed"] += 1
        finally:
            taking.cancel()

    async def _take(self, reader: StreamReader, chunks: Queue[tuple[float, bytes]]) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                self.counts["delayed"] += self.network.delay_s > 0
                await chunks.put((self._loop.time() + self.network.delay_s, chunk))
        finally:
            with suppress(asyncio.QueueFull):
                chunks.put_nowait((0.0, b""))


def _reset(writer: StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
