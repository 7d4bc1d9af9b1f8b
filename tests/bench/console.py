"""`crosswire bench console`: how long a seek takes in the browser, and the pictures of docs/console.md.

The BTC example is run, looked at in headless Chromium, and asked for turns drawn by chance: from the click to the last
table that is filled. `--screenshots FOLDER` also takes the pictures. Times of a machine that has other work are larger.
"""

import argparse
import base64
import json
import random
import statistics
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.console import DESKTOP, PHONE, chromium, console, go_to, make_run, wait_for_turn

SEEKS = 40
COLOURS = 256
DECODE = """async (encoded) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + encoded)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const bytes = context.getImageData(0, 0, image.width, image.height).data;
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return [image.width, image.height, btoa(text)];
}"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshots", type=Path, help="take the pictures of the docs into this folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        run = make_run(Path(name))
        with console(run) as address:
            context = browser.new_context(viewport=DESKTOP, color_scheme="light")
            page = context.new_page()
            begun = time.perf_counter()
            page.goto(address)
            wait_for_turn(page)
            first_s = time.perf_counter() - begun
            turns = int(page.locator("#slider").get_attribute("max"))
            seeks_ms = sorted(seek_ms(page, random.Random(seed).randint(1, turns)) for seed in range(SEEKS))
            if asked.screenshots:
                take_pictures(browser, context, page, asked.screenshots)
    print(json.dumps({
        "turns": turns, "first_pass_s": round(first_s, 2), "seeks": SEEKS,
        "seek_ms": {"p50": round(statistics.median(seeks_ms), 1), "max": round(seeks_ms[-1], 1)},
    }))  # fmt: skip


def seek_ms(page: Any, turn: int) -> float:
    """Go to a turn as a user does; tell how long that took."""
    begun = time.perf_counter()
    assert go_to(page, "turn", turn) == turn
    return (time.perf_counter() - begun) * 1e3


def take_pictures(browser: Any, context: Any, page: Any, folder: Path) -> None:
    """Take the four pictures: light, dark, an opportunity that is traded, and a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    blank = context.new_page()
    page.bring_to_front()
    for name, kind, number, colours in (
        ("light", "opportunity", 20, "light"), ("dark", "order", 5, "dark"), ("opportunity", "opportunity", 1, "light"),
    ):  # fmt: skip
        page.emulate_media(color_scheme=colours)
        go_to(page, kind, number)
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        if name == "opportunity":
            page.evaluate("() => document.querySelector('.books').scrollIntoView()")
        page.wait_for_selector("#chart canvas")
        page.wait_for_timeout(800)
        (folder / f"console-{name}.png").write_bytes(smaller(blank, page.screenshot()))
    phone = browser.new_context(viewport=PHONE, color_scheme="light", storage_state=context.storage_state())
    small = phone.new_page()
    small.goto(page.url)
    wait_for_turn(small)
    small.wait_for_selector("#chart canvas")
    small.wait_for_timeout(800)
    (folder / "console-phone.png").write_bytes(smaller(blank, small.screenshot()))
    phone.close()


def smaller(blank: Any, png: bytes) -> bytes:
    """Give a picture COLOURS colours, so that it takes up a third."""
    width, height, encoded = blank.evaluate(DECODE, base64.b64encode(png).decode())
    pixels = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(-1, 4)[:, :3].astype(np.int64)
    packed = pixels @ [1 << 16, 1 << 8, 1]
    colours, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    kept = colours[np.argsort(counts)[::-1][:COLOURS]]
    parts = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1)
    palette = np.stack([kept >> 16, kept >> 8 & 255, kept & 255], 1)
    nearest = np.array([np.abs(palette - each).sum(1).argmin() for each in parts], np.uint8)
    rows = nearest[places].reshape(height, width)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 3, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"PLTE", palette.astype(np.uint8).tobytes()), (b"IDAT", zlib.compress(data, 9))]
    made = [len(part).to_bytes(4, "big") + kind + part + zlib.crc32(kind + part).to_bytes(4, "big")
            for kind, part in [*chunks, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


if __name__ == "__main__":
    main()
