"""The workloads, and wrk, which makes the load: a closed loop, as fast as the answers come."""

import dataclasses
import json
import subprocess

import routing
from processes import Failed

# wrk calls this once, at the end. A function that it would call for each request would slow it down.
SCRIPT = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50": %.0f, "p99": %.0f, "errors": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
"""
POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 16384)\n'
CLOSE = 'wrk.headers["Connection"] = "close"\n'

# Idle keep-alive connections at which memory is read.
IDLE = (10, 5000)


@dataclasses.dataclass(frozen=True)
class Workload:
    """One kind of load."""

    name: str
    title: str
    path: str = "/"
    connections: int = 64
    endpoints: int = 3
    routes: int = 0
    script: str = ""
    # Open files that a proxy may need for it, with some to spare.
    files: int = 1000


WORKLOADS = [
    Workload("100b", "100 B"),
    Workload("16k", "16 KiB", path="/16k"),
    Workload("1m", "1 MiB", path="/1m", connections=16),
    Workload("post", "POST 16 KiB", path="/post", script=POST),
    Workload("close", "100 B, a connection per request", script=CLOSE),
    Workload("c1000", "100 B, 1,000 connections", connections=1000, files=4000),
    Workload("r100", "100 B, 100 routes that change fields", path=routing.path(50), routes=100),
    Workload("e1", "100 B, 1 endpoint", endpoints=1),
    Workload("e100", "100 B, 100 endpoints", endpoints=100),
    Workload("e10000", "100 B, 10,000 endpoints", endpoints=10_000, files=15_000),
    Workload("idle", "10 and 5,000 idle connections", files=15_000),
]


def run(wrk, directory, port, workload, seconds):
    """Puts a workload on a port. The result has requests, seconds, p50 and p99 in µs, and errors."""
    script = f"{directory}/{workload.name}.lua"
    with open(script, "w") as file:
        file.write(workload.script + SCRIPT)
    command = [
        wrk, "--threads", "1", "--connections", str(workload.connections), "--duration", f"{seconds}s",
        "--timeout", "10s", "--script", script, f"http://127.0.0.1:{port}{workload.path}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Failed("wrk did not end") from None
    return parse(done.stdout, done.stderr)


def parse(output, errors=""):
    """The line that the script of ours writes."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    last = (output + errors).strip().splitlines()
    raise Failed(f"wrk: {last[-1] if last else 'no output'}")
