"""Pictures as pixels: how unlike two are, and one with 256 colours instead of millions.

A page of the browser reads them, so that nothing else has to be able to.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode
from typing import Final

from playwright.async_api import Browser

READ: Final = """const read = async given => {
  const image = new Image(); image.src = 'data:image/png;base64,' + given;
  await image.decode();
  const on = new OffscreenCanvas(image.width, image.height).getContext('2d');
  on.drawImage(image, 0, 0);
  return on.getImageData(0, 0, image.width, image.height) };
const far = (a, at, b, to) => Math.max(
  Math.abs(a[at] - b[to]), Math.abs(a[at + 1] - b[to + 1]), Math.abs(a[at + 2] - b[to + 2]));"""
DIFFER: Final = f"""async ([one, other]) => {{ {READ}
  const [a, b] = [await read(one), await read(other)];
  if (a.width !== b.width || a.height !== b.height) return 1;
  let unlike = 0;
  for (let at = 0; at < a.data.length; at += 4) unlike += far(a.data, at, b.data, at) > 32;
  return unlike / (a.data.length / 4) }}"""
REDUCE: Final = f"""async given => {{ {READ}
  const {{ width, height, data }} = await read(given), often = new Map();
  const colour = at => data[at] << 16 | data[at + 1] << 8 | data[at + 2];
  for (let at = 0; at < data.length; at += 4)
    often.set(colour(at), (often.get(colour(at)) || 0) + 1);
  const kept = [...often].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 256);
  const palette = kept.flatMap(([it]) => [it >> 16, it >> 8 & 255, it & 255]), nearest = new Map();
  const index = at => {{
    let best = 0;
    for (let n = 1; n < kept.length; n += 1)
      if (far(data, at, palette, 3 * n) < far(data, at, palette, 3 * best)) best = n;
    return best }};
  let pixels = '';
  for (let at = 0; at < data.length; at += 4) {{
    if (!nearest.has(colour(at))) nearest.set(colour(at), index(at));
    pixels += String.fromCharCode(nearest.get(colour(at))) }}
  return [width, height, btoa(String.fromCharCode(...palette)), btoa(pixels)] }}"""


async def differ(browser: Browser, one: bytes, other: bytes) -> float:
    """The share of pixels that differ to the eye; 1 where the sizes do."""
    page = await browser.new_page()
    share = await page.evaluate(DIFFER, [b64encode(each).decode() for each in (one, other)])
    await page.close()
    return float(share)


async def small(browser: Browser, picture: bytes) -> bytes:
    """The same with its 256 most frequent colours; each other becomes the nearest of them."""
    page = await browser.new_page()
    width, height, palette, pixels = await page.evaluate(REDUCE, b64encode(picture).decode())
    await page.close()
    indices = b64decode(pixels)
    rows = b"".join(b"\0" + indices[at : at + width] for at in range(0, len(indices), width))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", b64decode(palette)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
