"""One run: what is started and measured when, and where the result goes."""

import contextlib
import datetime
import json
import os
import platform
import re
import resource
import shutil
import signal
import sys
import tempfile
import time

import load
import measure
import options as command_line
import peers
import plot
import report
from backend import Backend, endpoints
from options import DOCUMENT
from processes import Failed, find

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLOT = "docs/benchmarks.svg"
WARM_UP = 1
# Time for a connection to each of the 10,000 endpoints.
WARM_UP_MANY = 3


def say(line):
    """Progress."""
    print(line, file=sys.stderr, flush=True)


class Bench:
    """One run. Whatever it has started is in `cleanup`."""

    def __init__(self, options, binaries, cleanup):
        self.options = options
        self.binaries = binaries
        self.peers = [peer for peer in peers.PEERS if peer.name in binaries]
        self.cleanup = cleanup
        self.results = report.Results()
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.load_core, self.proxy_core = two_cores()
        # What we start ourselves inherits this core; proxies are put on the other.
        os.sched_setaffinity(0, {self.load_core})
        self.directory = tempfile.mkdtemp(prefix="berth-bench-")
        os.chmod(self.directory, 0o755)  # nginx's worker has another user when root starts it.
        cleanup.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.backend = Backend(find("nginx"), f"{self.directory}/backend", self.load_core, self.files)
        cleanup.callback(self.backend.stop)

    def run(self):
        """All rounds."""
        chosen = self.options.workloads or [workload.name for workload in load.WORKLOADS]
        workloads = []
        for workload in load.WORKLOADS:
            if workload.name not in chosen:
                continue
            if workload.files > self.files:
                say(f"{workload.name}: skipped: it needs {workload.files:,} open files, the limit is {self.files:,}")
                continue
            workloads.append(workload)
        for number in range(1, self.options.rounds + 1):
            turn = number % len(self.peers)
            order = self.peers[turn:] + self.peers[:turn]
            loads = [workload for workload in workloads if workload.name != "idle"]
            for count, routes in sorted({(workload.endpoints, workload.routes) for workload in loads}):
                group = [one for one in loads if (one.endpoints, one.routes) == (count, routes)]
                able = [peer for peer in order if peer.routing or not routes]
                if count > 1000:
                    # Each keeps a connection to every endpoint, so only one at a time fits the limit of open files.
                    for peer in able:
                        self.group(number, [peer], group)
                else:
                    self.group(number, able, group)
            if len(loads) < len(workloads):
                for peer in order:
                    self.idle(number, peer)

    @contextlib.contextmanager
    def running(self, peer, count, routes=0):
        """A proxy, at work as long as the context lasts."""
        files = f"{self.directory}/{peer.name}"
        proxy = peers.Running(
            peer,
            self.binaries[peer.name],
            files,
            self.proxy_core,
            endpoints(count, self.backend.port),
            self.files,
            routes,
        )
        try:
            yield proxy
        finally:
            proxy.stop()

    def group(self, number, order, workloads):
        """Some proxies in front of as many endpoints and with as many routes as the workloads want; each of these goes
        over all proxies in turn."""
        count, routes = workloads[0].endpoints, workloads[0].routes
        with contextlib.ExitStack() as stack:
            ready = []
            for peer in order:
                try:
                    proxy = stack.enter_context(self.running(peer, count, routes))
                    self.put(proxy, workloads[0], WARM_UP_MANY if count > 1000 else WARM_UP)
                    ready.append((peer, proxy))
                except (Failed, OSError) as error:
                    say(f"round {number}  {peer.name}, {count:,} endpoints: {error}")
            for workload in workloads:
                for peer, proxy in ready:
                    try:
                        self.measure(number, peer, proxy, workload)
                    except Failed as error:
                        say(f"round {number}  {workload.name}  {peer.name}: {error}")

    def put(self, proxy, workload, seconds):
        """Load on a proxy."""
        return load.run(find("wrk"), self.directory, proxy.port, workload, seconds)

    def measure(self, number, peer, proxy, workload):
        """One figure of each kind."""
        before = measure.cpu_seconds(proxy.pid)
        done = self.put(proxy, workload, self.options.secs)
        used = measure.cpu_seconds(proxy.pid) - before
        if not done["requests"]:
            raise Failed("no request was answered")
        sample = {
            "cpu": used / done["requests"] * 1e6,
            "rate": done["requests"] / done["seconds"],
            "p50": done["p50"],
            "p99": done["p99"],
            "errors": done["errors"],
        }
        self.results.add(workload.name, peer.name, number, sample)
        failed = f"  {done['errors']} errors" if done["errors"] else ""
        say(
            f"round {number}  {workload.name:7} {peer.name:9} {sample['cpu']:8.1f} µs of CPU  {sample['rate']:8.0f}/s"
            f"  p50 {report.microseconds(done['p50'])}  p99 {report.microseconds(done['p99'])}{failed}"
        )

    def idle(self, number, peer):
        """Memory of a fresh proxy with idle connections."""
        try:
            with self.running(peer, 3) as proxy:
                sample = measure.idle_memory(proxy.pid, proxy.port, load.IDLE)
        except (Failed, OSError) as error:
            say(f"round {number}  idle    {peer.name}: {error}")
            return
        self.results.add("idle", peer.name, number, sample)
        say(f"round {number}  idle    {peer.name:9} {', '.join(report.mebibytes(kib) for kib in sample.values())}")


def two_cores():
    """One for the load and one for the proxy: two that are not threads of the same core, if there are."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("scripts/bench: needs two cores")
    first = cores[0]
    try:
        with open(f"/sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list") as file:
            siblings = re.split(r"[,-]", file.read().strip())
    except OSError:
        siblings = []
    others = [core for core in cores[1:] if str(core) not in siblings]
    return first, (others or cores[1:])[0]


def usage(message):
    """Ends for want of something."""
    say(f"scripts/bench: {message}")
    sys.exit(2)


def prepare(options):
    """Finds the proxies and builds the balancer. Their paths by name."""
    for tool in ("wrk", "nginx"):
        if not find(tool):
            usage(f"{tool} is missing: apt-get install {tool}")
    binaries = {}
    for peer in peers.PEERS:
        if options.peers and peer.name not in options.peers:
            continue
        # The balancer comes with its checkout; what builds it has to be there.
        binary = find("cargo" if peer.name == "balancer" else peer.name)
        if binary:
            binaries[peer.name] = binary
        elif peer.name == "balancer":
            usage("cargo is missing: install Rust with rustup, or apt-get install cargo")
        elif peer.package:
            usage(f"{peer.name} is missing: apt-get install {peer.package}")
        else:
            say(f"{peer.name}: not found, left out")
    if not binaries:
        usage("none of these proxies is here")
    if "balancer" in binaries:
        binaries["balancer"] = peers.build_balancer(binaries["balancer"], ROOT)
    return binaries


def about(bench, versions):
    """The first lines of the section."""
    proxies = ", ".join(f"{peer.title} {versions[peer.name]}" for peer in bench.peers)
    rounds, secs = bench.options.rounds, bench.options.secs
    return (
        f"{datetime.date.today()}, {processor()}, Linux {platform.release().split('-')[0]}: {proxies}. Medians of "
        f"{rounds} round{'s' * (rounds > 1)} of {secs} s each; **in bold** the ratio to HAProxy in the same round."
    )


def processor():
    """As the kernel calls it."""
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def write(text, svg):
    """Puts the section and the plot into the documentation."""
    path = os.path.join(ROOT, DOCUMENT)
    with open(path) as file:
        document = report.replace_section(file.read(), text)
    with open(path, "w") as file:
        file.write(document)
    if svg:
        with open(os.path.join(ROOT, PLOT), "w") as file:
            file.write(svg)
    say(f"written: {DOCUMENT}, {PLOT}")


def main():
    """Runs it."""
    options = command_line.parse()
    for name in ("BERTH_REGISTRY", "BERTH_TOKEN", "RUST_LOG"):
        os.environ.pop(name, None)
    unwritten = command_line.reason_not_to_write(options)
    if unwritten:
        say(f"{DOCUMENT} stays as it is: {unwritten}")
    else:
        with open(os.path.join(ROOT, DOCUMENT)) as file:
            try:
                report.replace_section(file.read(), "")
            except ValueError as error:
                sys.exit(f"scripts/bench: {DOCUMENT}: {error}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # So that everything we started is ended on these too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    started = time.monotonic()
    try:
        binaries = prepare(options)
        here = [peer for peer in peers.PEERS if peer.name in binaries]
        versions = {peer.name: peers.version(peer, binaries[peer.name]) for peer in here}
        with contextlib.ExitStack() as cleanup:
            bench = Bench(options, binaries, cleanup)
            bench.run()
    except Failed as error:
        sys.exit(f"scripts/bench: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    say(f"done in {time.monotonic() - started:.0f} s")
    loads = [workload for workload in load.WORKLOADS if workload.name != "idle"]
    svg = plot.draw(bench.results, loads, bench.peers)
    text = report.section(
        bench.results, loads, bench.peers, load.IDLE, about(bench, versions), os.path.basename(PLOT) if svg else None
    )
    if options.output == "json":
        print(json.dumps({"about": about(bench, versions), "versions": versions, "workloads": bench.results.plain()}))
    else:
        print(text)
    if not unwritten:
        write(text, svg)
