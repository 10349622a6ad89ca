"""Ready means a whole, right answer: an open port, silence and nonsense are all "not yet"."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from deploy.local.broker_probe import Brokers, ask_brokers
from deploy.local.web_probe import answers_ok

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def says(answer: bytes, *, heard: list[bytes] | None = None) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read(4096)
        if heard is not None:
            heard.append(request)
        writer.write(answer)
        await writer.drain()

    return talk


async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def metadata(*brokers: tuple[int, str, int], controller: int = 1) -> bytes:
    """A metadata response of version 4, as a broker frames it."""
    listed = b"".join(
        struct.pack(">i", node) + text(host) + struct.pack(">ih", port, -1)
        for node, host, port in brokers
    )
    body = struct.pack(">iii", 1, 0, len(brokers)) + listed + text("cluster")
    body += struct.pack(">ii", controller, 0)
    return struct.pack(">i", len(body)) + body


async def test_a_broker_that_answers_is_told_with_its_address() -> None:
    """Two brokers, a rack that is null, a controller."""
    heard: list[bytes] = []
    answer = metadata((1, "127.0.0.1", 9092), (2, "127.0.0.1", 9093))
    async with server(says(answer, heard=heard)) as port:
        said = await ask_brokers("127.0.0.1", port)
    assert said == Brokers(("127.0.0.1:9092", "127.0.0.1:9093"), has_controller=True)
    assert heard == [b"\x00\x00\x00\x14\x00\x03\x00\x04\x00\x00\x00\x01\x00\x05baton" + b"\0" * 5]


async def test_a_broker_without_a_controller_says_so() -> None:
    """It answers metadata before it can create a topic."""
    async with server(says(metadata((1, "h", 1), controller=-1))) as port:
        assert await ask_brokers("127.0.0.1", port) == Brokers(("h:1",), has_controller=False)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", metadata((1, "h", 1))[:-9], b"\0\0\0\x04abcd"],
    ids=["nothing", "another language", "cut", "too short"],
)
async def test_what_is_no_metadata_is_no_broker(answer: bytes) -> None:
    """Whatever listens there is not taken for Kafka."""
    async with server(says(answer)) as port:
        assert await ask_brokers("127.0.0.1", port, within_s=0.5) is None


async def test_silence_and_a_closed_port_are_no_answer() -> None:
    """Both probes give up in their time."""
    async with server(says_nothing) as port:
        assert await ask_brokers("127.0.0.1", port, within_s=0.05) is None
        assert not await answers_ok("127.0.0.1", port, "/readyz", within_s=0.05)
    assert await ask_brokers("127.0.0.1", port) is None
    assert not await answers_ok("127.0.0.1", port, "/readyz")


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 302 Found\r\n\r\n", False),
        (b"", False),
        (b"\r\n", False),
        (b"SSH-2.0-x yes\r\n", False),
    ],
)
async def test_the_status_line_decides(answer: bytes, *, ready: bool) -> None:
    """Nothing else of the answer is read."""
    heard: list[bytes] = []
    async with server(says(answer, heard=heard)) as port:
        assert await answers_ok("127.0.0.1", port, "/readyz") is ready
    assert heard[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
