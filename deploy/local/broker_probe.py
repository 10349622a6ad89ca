"""Asks a Kafka broker for its metadata, with nothing but a socket.

Ready means that a broker answers such a request with itself in the list: a log line or an open
port comes too early. The full client is slow to import and retries on its own; a probe must not.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Final

METADATA: Final = 3
VERSION: Final = 4
ASK_AGAIN_S: Final = 0.1
LARGEST: Final = 16 * 1024 * 1024
REQUEST: Final = struct.pack(">hhih5si?", METADATA, VERSION, 1, 5, b"baton", 0, False)


@dataclass(frozen=True, slots=True)
class Brokers:
    """What a broker said: the addresses of all, and whether there is a controller."""

    addresses: tuple[str, ...]
    has_controller: bool


async def ask_brokers(host: str, port: int, *, within_s: float = 2.0) -> Brokers | None:
    """None when nobody answers in time, or answers in another language."""
    try:
        async with asyncio.timeout(within_s):
            return await _exchange(host, port)
    except (OSError, TimeoutError, EOFError, struct.error, ValueError):
        return None


async def until_answered(host: str, port: int, *, within_s: float) -> None:
    """Raises TimeoutError when no broker with a controller answers in that time."""
    async with asyncio.timeout(within_s):
        while True:
            brokers = await ask_brokers(host, port)
            if brokers is not None and brokers.has_controller:
                return
            await asyncio.sleep(ASK_AGAIN_S)


async def _exchange(host: str, port: int) -> Brokers:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack(">i", len(REQUEST)) + REQUEST)
        await writer.drain()
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        if not 0 < size < LARGEST:
            raise ValueError(size)
        return _parse(await reader.readexactly(size))
    finally:
        writer.close()


def _parse(answer: bytes) -> Brokers:
    """Metadata response, version 4: correlation, throttle, brokers, cluster id, controller."""
    at = 8
    (count,) = struct.unpack_from(">i", answer, at)
    at += 4
    addresses = []
    for _ in range(count):
        at += 4
        host, at = _text(answer, at)
        (port,) = struct.unpack_from(">i", answer, at)
        _rack, at = _text(answer, at + 4)
        addresses.append(f"{host}:{port}")
    _cluster, at = _text(answer, at)
    (controller,) = struct.unpack_from(">i", answer, at)
    return Brokers(tuple(addresses), has_controller=controller >= 0)


def _text(answer: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", answer, at)
    end = at + 2 + max(size, 0)
    return answer[at + 2 : end].decode(), end
