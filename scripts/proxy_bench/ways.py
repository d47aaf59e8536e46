"""CPU time per request of the balancer with each strategy and each limit, beside HAProxy and beside taking turns.

Two cores, as for scripts/bench: the proxy has one, the load (wrk) and three endpoints (nginx) share the other; 100 B, 64
connections. Every round measures all, in an order that rotates; what is told are medians over the rounds of the ratio to
HAProxy, and of the difference to `round_robin`, in the same round. A Markdown table goes to stdout."""

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import tempfile

import load
import measure
import options as command_line
import peers
import run
from backend import Backend, endpoints
from processes import find

BASE = "round_robin"
STRATEGIES = [
    BASE,
    "weighted_round_robin",
    "random",
    "least_connections",
    "weighted_least_connections",
    "p2c",
    "peak_ewma",
    "load",
    "ip_hash",
    "consistent_hash",
]
# What else a request may go through, each beside turns.
OTHERS = {
    "sticky": ["sticky: cookie"],
    "max_in_flight": ["max_in_flight: 1000"],
    "rate_limit": ["rate_limit: {requests: 1000000000, by: {address: true}}"],
}
WORKLOAD = next(workload for workload in load.WORKLOADS if workload.name == "100b")


def way(name, keys):
    """The balancer with these keys on its route."""
    return peers.Peer(
        name,
        f"`{name}`",
        "@BINARY@ --listen 127.0.0.1:@PORT@ --admin none --threads 1 -c way.yaml",
        "@BINARY@ --version",
        templates=("way.yaml",),
        endpoint='      - "http://{address}"',
        routing=lambda _: {"KEYS": "\n".join(f"    {key}" for key in keys)},
    )


def ways():
    """HAProxy, and the balancer in every way."""
    haproxy = next(peer for peer in peers.PEERS if peer.name == "haproxy")
    strategies = [way(name, [f"strategy: {name}"]) for name in STRATEGIES]
    return [haproxy, *strategies, *(way(name, keys) for name, keys in OTHERS.items())]


def rounds(options, binary, cleanup):
    """Yields the CPU time per request by way, a round each."""
    load_core, proxy_core = run.two_cores()
    os.sched_setaffinity(0, {load_core})
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    directory = tempfile.mkdtemp(prefix="berth-bench-")
    os.chmod(directory, 0o755)  # nginx's worker has another user when root starts it.
    cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
    backend = Backend(find("nginx"), f"{directory}/backend", load_core, files)
    cleanup.callback(backend.stop)
    all_ways = ways()
    for number in range(options.rounds):
        turn = number % len(all_ways)
        used = {}
        for peer in all_ways[turn:] + all_ways[:turn]:
            path = find("haproxy") if peer.name == "haproxy" else binary
            place = f"{directory}/{peer.name}"
            proxy = peers.Running(peer, path, place, proxy_core, endpoints(3, backend.port), files)
            with contextlib.ExitStack() as stack:
                stack.callback(proxy.stop)
                load.run(find("wrk"), directory, proxy.port, WORKLOAD, run.WARM_UP)
                before = measure.cpu_seconds(proxy.pid)
                done = load.run(find("wrk"), directory, proxy.port, WORKLOAD, options.secs)
                used[peer.name] = (measure.cpu_seconds(proxy.pid) - before) / done["requests"] * 1e6
            run.say(f"round {number + 1}  {peer.name:28} {used[peer.name]:6.2f} µs of CPU")
        yield used


def table(samples):
    """The medians, as Markdown."""
    yield "| | CPU per request | to HAProxy | to `round_robin` |"
    yield "|---|---|---|---|"
    for name in samples[0]:
        cpu = statistics.median(sample[name] for sample in samples)
        ratio = statistics.median(sample[name] / sample["haproxy"] for sample in samples)
        more = statistics.median(sample[name] - sample[BASE] for sample in samples)
        title = "HAProxy" if name == "haproxy" else f"`{name}`"
        yield f"| {title} | {cpu:.1f} µs | {ratio:.2f} | {more:+.2f} µs |"


def main():
    """Runs it."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench-strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=command_line.whole(1), default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--secs", type=command_line.whole(1), default=2, metavar="S", help="default: %(default)s")
    options = parser.parse_args()
    for tool in ("wrk", "nginx", "haproxy", "cargo"):
        if not find(tool):
            run.usage(f"{tool} is missing")
    binary = peers.build_balancer(find("cargo"), run.ROOT)
    with contextlib.ExitStack() as cleanup:
        samples = list(rounds(options, binary, cleanup))
    order = [peer.name for peer in ways()]
    print("\n".join(table([{name: sample[name] for name in order} for sample in samples])))
