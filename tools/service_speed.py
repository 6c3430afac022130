"""What the service costs: ``python tools/service_speed.py [--hour]`` prints rows of Markdown.

Starts ``overtone serve``, lets clients send 5 s clips at once, then 1,000 clips of 1 s, then (with
``--hour``) an hour in one file. CPU-seconds hardly depend on what else the machine does.
"""

import asyncio
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import soundfile

EXAMPLE = Path(__file__).parents[1] / "examples" / "speech_en_8k.flac"
HEADERS = {"Content-Type": "audio/wav"}
LOADS = ((1, 20), (8, 40), (50, 100))  # clients, requests of all


def clip(seconds: float) -> bytes:
    """Return speech as a WAV file."""
    samples, rate = soundfile.read(EXAMPLE)
    file = io.BytesIO()
    soundfile.write(file, np.resize(samples, round(seconds * rate)), rate, format="WAV")
    return file.getvalue()


def usage(process: int) -> tuple[float, float]:
    """Return CPU-seconds and MB of a process and its children (Linux)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ticks = pages = 0
    for pid in (process, *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
        pages += int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def send(address: str, body: bytes, clients: int, requests: int) -> tuple[float, list[float]]:
    """Return requests a second, and the seconds that each took."""
    took: list[float] = []
    left = iter(range(requests))

    async def work(client: httpx.AsyncClient) -> None:
        for _ in left:
            begun = time.perf_counter()
            answer = await client.post("/v1/enhance", content=body, headers=HEADERS)
            answer.raise_for_status()
            took.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with httpx.AsyncClient(base_url=address, timeout=3600) as client:
        await asyncio.gather(*(work(client) for _ in range(clients)))
    return requests / (time.perf_counter() - begun), took


def main() -> None:
    """Measure and print."""
    command = [sys.executable, "-m", "overtone", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        address = process.stderr.readline().split()[-1]
        asyncio.run(send(address, clip(5), 2, 4))  # the workers load their models
        for clients, requests in LOADS:
            before, _ = usage(process.pid)
            rate, took = asyncio.run(send(address, clip(5), clients, requests))
            cost = (usage(process.pid)[0] - before) / requests
            p50, p95 = np.percentile(took, (50, 95))
            load = os.getloadavg()[0]
            print(f"| {clients} | {rate:.1f} | {p50:.2f} | {p95:.2f} | {cost:.3f} | {load:.1f} |")
        for done in range(200, 1001, 200):
            asyncio.run(send(address, clip(1), 4, 200))
            print(f"| {done} | {usage(process.pid)[1]:.0f} |", flush=True)
        if "--hour" in sys.argv:
            before, _ = usage(process.pid)
            _, took = asyncio.run(send(address, clip(3600), 1, 1))
            cost, memory = usage(process.pid)
            print(f"an hour: {took[0]:.0f} s, {cost - before:.0f} CPU-s, {memory:.0f} MB after it")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
