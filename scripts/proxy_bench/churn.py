"""What changes of a large backend cost the requests: worker CPU per request, quiet and under changes, in turn."""

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from processes import Failed, find

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NGINX = """worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.err;
worker_rlimit_nofile {files}; events {{ worker_connections {files}; }}
http {{ access_log off; keepalive_timeout 300s; keepalive_requests 1000000;
  server {{ listen 0.0.0.0:{port} backlog=4096; location / {{ return 200 "ok"; }} }} }}
"""


class Site:
    """A registry, a balancer, and one server that answers at as many loopback addresses as are wanted."""

    def __init__(self, directory, binaries, base):
        self.server, self.registry, self.port, self.admin = (base + offset for offset in range(4))
        self.children = []
        # Changes that were made, over all rounds.
        self.made = 0
        with open(os.path.join(directory, "nginx.conf"), "w") as file:
            file.write(NGINX.format(directory=directory, port=self.server, files=30_000))
        self.directory = directory
        self.start(find("nginx"), "-p", directory, "-c", os.path.join(directory, "nginx.conf"))
        self.start(os.path.join(binaries, "registry"), "listen", str(self.registry))
        await_port(self.registry)
        self.balancer = self.start(
            os.path.join(binaries, "balancer"), "--registry", f"localhost:{self.registry}", "--state", "none",
            "--port", str(self.port), "--admin", f"127.0.0.1:{self.admin}")
        await_port(self.admin)
        self.calls = http.client.HTTPConnection("127.0.0.1", self.registry)

    def start(self, *command):
        """Starts a process, to be ended with the site."""
        output = open(os.path.join(self.directory, "output"), "ab")
        child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self.children.append(child)
        return child

    def put(self, number, weight=1):
        """Registers an instance, or changes its weight."""
        host = f"127.1.{number // 250}.{number % 250 + 1}"
        body = {"host": host, "port": self.server, "verify": "none", "ttl_s": 3600, "weight": weight, "run": "1"}
        self.calls.request("PUT", f"/v1/services/web/instances/i{number}", json.dumps(body),
                           {"Content-Type": "application/json", "Host": "localhost"})
        answer = self.calls.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise Failed(f"the registry said {answer.status}: {text}")

    def metric(self, name):
        """One of the balancer's metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE).group(1))

    def cpu(self):
        """Seconds on a CPU, of the workers and of all other threads of the balancer."""
        seconds = {True: 0.0, False: 0.0}
        folder = f"/proc/{self.balancer.pid}/task"
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/comm") as file:
                is_worker = file.read().startswith("worker")
            with open(f"{folder}/{thread}/schedstat") as file:
                seconds[is_worker] += int(file.read().split()[0]) / 1e9
        return seconds[True], seconds[False]

    def stop(self):
        """Ends all processes."""
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            child.wait()


def await_port(port):
    """Waits until somebody listens."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/healthz")
            return connection.getresponse().read()
        except OSError:
            time.sleep(0.02)
    raise Failed(f"nobody listens on {port}")


def load(site, seconds, count, changes):
    """One load, with so many changes a second."""
    ended, made = threading.Event(), site.made

    def change():
        following = time.monotonic()
        while not ended.is_set():
            # Another weight each time, so that it is a change.
            site.put(site.made * 7 % count, site.made % 999 + 2)
            site.made += 1
            following += 1 / changes
            ended.wait(max(0.0, following - time.monotonic()))

    thread = threading.Thread(target=change)
    generation, before = site.metric("balancer_generation"), site.cpu()
    if changes:
        thread.start()
    told = subprocess.run(
        [find("wrk"), "-t1", "-c32", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{site.port}/"],
        capture_output=True, text=True, check=True).stdout
    after = site.cpu()
    ended.set()
    if changes:
        thread.join()
    if "Non-2xx" in told or "Socket errors" in told:
        raise Failed(told)
    requests = int(re.search(r"(\d+) requests in", told).group(1))
    return {
        "us": (after[0] - before[0]) / requests * 1e6,
        "others": 100 * (after[1] - before[1]) / seconds,
        "p99": re.search(r"99%\s+(\S+)", told).group(1),
        "changes": site.made - made,
        "generations": site.metric("balancer_generation") - generation,
    }


def main():
    """Runs it."""
    parser = argparse.ArgumentParser(prog="scripts/bench-churn", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=100, help="a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=int, default=8)
    parser.add_argument("--port", type=int, default=21_080, help="the first of four")
    parser.add_argument("--bin", default=os.path.join(ROOT, "target", "release"))
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="berth-churn-")
    site = None
    try:
        site = Site(directory, options.bin, options.port)
        for number in range(options.endpoints):
            site.put(number)
        # Once with everybody, so that the connections are there.
        load(site, options.secs, options.endpoints, 0)
        rounds = []
        for _ in range(options.rounds):
            quiet = load(site, options.secs, options.endpoints, 0)
            busy = load(site, options.secs, options.endpoints, options.changes)
            rounds.append((quiet, busy))
            print(f"quiet {quiet['us']:.2f} us a request, p99 {quiet['p99']}; with {busy['changes']} changes in "
                  f"{busy['generations']:.0f} lists {busy['us']:.2f} us, p99 {busy['p99']}, other threads "
                  f"{busy['others']:.1f} % of a core", flush=True)
        ratios = [busy["us"] / quiet["us"] for quiet, busy in rounds]
        print(f"{options.endpoints} endpoints, {options.changes} changes a second: CPU of the workers per request "
              f"{statistics.median(ratios):.3f} of that without, median of {options.rounds} pairs "
              f"({min(ratios):.3f} to {max(ratios):.3f})")
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"scripts/bench-churn: {error}")
    finally:
        if site:
            site.stop()
        shutil.rmtree(directory, ignore_errors=True)
