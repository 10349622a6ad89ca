"""Asks a process whether it is ready: one HTTP GET over a bare socket, the status line decides."""

from __future__ import annotations

import asyncio


async def answers_ok(host: str, port: int, path: str, *, within_s: float = 2.0) -> bool:
    """True for a 2xx. Nobody there, silence and any other answer are all "not yet"."""
    try:
        async with asyncio.timeout(within_s):
            return 200 <= await _status(host, port, path) < 300
    except (OSError, TimeoutError, EOFError, ValueError, IndexError):
        return False


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        line = await reader.readline()
        return int(line.split()[1])
    finally:
        writer.close()
