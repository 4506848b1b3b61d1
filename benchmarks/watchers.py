"""A thousand people watch while a batch runs: how late the service answers, and how often each of them sees a preview.

    python benchmarks/watchers.py [--watchers 1000] [--seconds 6] [-o benchmarks/results/watchers.json]

`calotype serve` in a process of its own, a batch each of eight people under way, every watcher a connection of its own
to `/v1/jobs/ID/events?previews=1` (spread over the batches), held by this process. Meanwhile `/healthz` is asked twenty
times a second over one further connection: it does nothing but answer, so how long that takes is how late the event
loop is, with the socket's time on top. Once without watchers, once with them. Server and watchers share the machine.

Linux only: the people's addresses are loopback's, and CPU time is read from /proc.
A preview counts when it is another one than this watcher saw last.

What is to be reached: a p99 of at most 250 ms, four previews a second for each of 1,000 watchers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PEOPLE = 8
"""Each asks from an address of their own, 127.0.0.2 and so on: that is who they are."""


class Service:
    """`calotype serve`, ended with the `with` block."""

    def __init__(self, home: Path) -> None:
        env = {**os.environ, "CALOTYPE_HOME": str(home), "CALOTYPE_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "calotype", "serve", "--port", "0"],
            env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        address = home / "server.json"
        while not address.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.05)
        self.url = json.loads(address.read_text())["url"]
        self.host, self.port = urlsplit(self.url).hostname, urlsplit(self.url).port

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def cpu(self) -> float:
        """Seconds of CPU time that it took so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watch(service: Service, path: str, address: str, seen: list[int]) -> None:
    """One connection; counts the previews that come."""
    reader, writer = await asyncio.open_connection(service.host, service.port, limit=2**20, local_addr=(address, 0))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {service.host}\r\n\r\n".encode())
    seen.append(0)
    mine, last = len(seen) - 1, b""
    try:
        while line := await reader.readline():
            _, _, preview = line.partition(b'"preview": ')
            if preview and preview != last:
                seen[mine] += 1
                last = preview
    finally:
        writer.close()


async def answers(service: Service, seconds: float) -> list[float]:
    """Seconds that `/healthz` took, asked every 50 ms over one connection."""
    reader, writer = await asyncio.open_connection(service.host, service.port)
    took, end = [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {service.host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(max(0.0, 0.05 - took[-1]))
    writer.close()
    return took


async def measured(service: Service, streams: list[tuple[str, str]], watchers: int, seconds: float) -> dict[str, Any]:
    """With so many watchers over the jobs."""
    seen: list[int] = []
    tasks = []
    for number in range(watchers):
        tasks.append(asyncio.create_task(watch(service, *streams[number % len(streams)], seen)))
        if number % 50 == 49:  # not all of them in one backlog of the listening socket
            await asyncio.sleep(0.1)
    while len(seen) < watchers:  # noqa: ASYNC110 - a benchmark may poll before it begins
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    before, cpu = list(seen), service.cpu()
    took = await answers(service, seconds)
    used = service.cpu() - cpu
    previews = [(now - then) / seconds for now, then in zip(seen, before, strict=True)]
    if lost := sum(task.done() for task in tasks):
        raise SystemExit(f"{lost} of {watchers} watchers lost their connection")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cuts = statistics.quantiles(took, n=100)
    return {
        "watchers": watchers,
        "answers_ms": {"p50": _ms(statistics.median(took)), "p99": _ms(cuts[98]), "max": _ms(max(took))},
        "previews_a_second_and_watcher": {
            "least": round(min(previews), 2), "median": round(statistics.median(previews), 2),
        } if previews else None,
        "service_cpu_s_a_second": round(used / seconds, 2),
    }  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def run(service: Service, watchers: int, seconds: float) -> list[dict[str, Any]]:
    """Without and with watchers, on the same jobs."""
    import httpx

    addresses = [f"127.0.0.{number + 2}" for number in range(PEOPLE)]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=service.url, timeout=60, transport=httpx.AsyncHTTPTransport(local_address=address)
                )
            )
            for address in addresses
        ]
        while (await clients[0].get("/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        body = {"prompt": "owl with a crown", "steps": 150, "images": 4, "options": {"upscale": False}}
        answers = [(await client.post("/v1/jobs", json=body)).raise_for_status().json() for client in clients]
        paths = [f"/v1/jobs/{answer['job_id']}" for answer in answers]

        async def all_run() -> bool:
            states = [(await client.get(path)).json()["status"] for client, path in zip(clients, paths, strict=True)]
            return all(state == "running" for state in states)

        while not await all_run():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        streams = [(f"{path}/events?previews=1", address) for path, address in zip(paths, addresses, strict=True)]
        results = [await measured(service, streams, number, seconds) for number in (0, watchers)]
        if not await all_run():
            raise SystemExit("the jobs ended before the measurement: fewer seconds, please")
        for client, path in zip(clients, paths, strict=True):
            await client.post(f"{path}/cancel")
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/watchers.json"))
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    results: dict[str, Any] = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "load_average_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "home") as service:
        results["measured"] = asyncio.run(run(service, given.watchers, given.seconds))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
