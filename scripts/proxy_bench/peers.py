"""The proxies that are compared: how each is configured, started and asked for its version.

All have one thread, keep connections on both sides open for many requests, log nothing, take the servers in turn, and
tell these the same about the client: X-Forwarded-For, -Proto and -Host, and X-Real-IP."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import configs
import routing
from processes import Failed, Process, free_port


@dataclasses.dataclass(frozen=True)
class Peer:
    """A proxy. `command` and the templates take the @NAMES@ of `values` below."""

    name: str
    title: str
    command: str
    version: str
    templates: tuple = ()
    # What the templates say for each endpoint.
    endpoint: str = ""
    # The Debian package, if the benchmark cannot do without this proxy.
    package: str = ""
    environment: dict = dataclasses.field(default_factory=dict)
    # What the templates say of so many routes. A proxy without it takes no part where there are routes.
    routing: Callable | None = None
    # How it is started with routes, if otherwise: arguments and templates.
    routed: tuple = ("", ())


PEERS = [
    Peer(
        "balancer",
        "balancer",
        "@BINARY@ --listen 127.0.0.1:@PORT@ --admin none --threads 1",
        "@BINARY@ --version",
        endpoint='      - "http://{address}"',
        routing=routing.balancer,
        routed=(" -c balancer.yaml", ("balancer.yaml",)),
    ),
    Peer(
        "haproxy",
        "HAProxy",
        "@BINARY@ -db -f haproxy.cfg",
        "@BINARY@ -v",
        templates=("haproxy.cfg", "routes.map"),
        routing=routing.haproxy,
        endpoint="    server s{number} {address}",
        package="haproxy",
    ),
    Peer(
        "nginx",
        "nginx",
        "@BINARY@ -p @DIR@ -c @DIR@/nginx.conf",
        "@BINARY@ -v",
        templates=("nginx.conf",),
        routing=routing.nginx,
        endpoint="        server {address};",
        package="nginx",
    ),
    Peer(
        "envoy",
        "Envoy",
        "@BINARY@ -c envoy.yaml --concurrency 1 --disable-hot-restart -l off",
        "@BINARY@ --version",
        templates=("envoy.yaml",),
        endpoint="        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}",
    ),
    Peer(
        "traefik",
        "Traefik",
        "@BINARY@ --configFile=@DIR@/traefik.yaml",
        "@BINARY@ version",
        templates=("traefik.yaml", "traefik-servers.yaml"),
        endpoint='        - url: "http://{address}"',
        environment={"GOMAXPROCS": "1"},
    ),
    Peer(
        "caddy",
        "Caddy",
        "@BINARY@ run --adapter caddyfile --config Caddyfile",
        "@BINARY@ version",
        templates=("Caddyfile",),
        endpoint="\t\tto {address}",
        environment={"GOMAXPROCS": "1"},
    ),
]

# A command line takes 128 KiB an argument.
ENDPOINTS_PER_ARGUMENT = 4000
# HAProxy's `roundrobin` takes no more servers; `static-rr` takes them in turn as well.
MOST_ROUND_ROBIN = 4095


def build_balancer(cargo, root):
    """Builds the balancer of a checkout; its path."""
    command = [cargo, "build", "--release", "--locked", "-p", "berth-balancer"]
    if subprocess.run(command, cwd=root, stdout=sys.stderr, timeout=3600).returncode:
        raise Failed("the balancer could not be built")
    command = [cargo, "metadata", "--no-deps", "--format-version", "1"]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=60).stdout
    return os.path.join(json.loads(found)["target_directory"], "release", "balancer")


def version(peer, binary):
    """What a proxy calls its version: the first number with dots that it prints."""
    command = [configs.fill(word, {"BINARY": binary}) for word in peer.version.split()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    number = re.search(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)?)|/(\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return (number[1] or number[2]) if number else "?"


class Running:
    """A proxy at work in front of some endpoints."""

    def __init__(self, peer, binary, directory, core, endpoints, files, routes=0):
        os.makedirs(directory, exist_ok=True)
        self.port = free_port()
        values = {
            "BINARY": binary,
            "PORT": self.port,
            "DIR": directory,
            "ENDPOINTS": "\n".join(lines(peer.endpoint, endpoints)),
            # Enough for the idle connections, or for a kept connection to each endpoint. What a proxy need not
            # reserve memory for, it should not be told to.
            "CLIENTS": min(max(6000, (len(endpoints) + 4000) // 2), (files - 500) // 2),
            "CONNECTIONS": min(6000 + len(endpoints), files - 100),
            # nginx searches them one by one: with more endpoints than it can keep connections to, fewer cost it less.
            "KEPT": 1024 if len(endpoints) <= 1000 else 256,
            "BALANCE": "roundrobin" if len(endpoints) <= MOST_ROUND_ROBIN else "static-rr",
        }
        if peer.routing:
            values.update(peer.routing(routes))
        arguments, more = peer.routed if routes else ("", ())
        for template in peer.templates + more:
            configs.write(template, directory, values)
        command = [configs.fill(word, values) for word in (peer.command + arguments).split()]
        if not peer.templates + more:
            for first in range(0, len(endpoints), ENDPOINTS_PER_ARGUMENT):
                command += ["--upstream", ",".join(endpoints[first : first + ENDPOINTS_PER_ARGUMENT])]
        self.process = Process(command, directory, core, {"HOME": directory, **peer.environment})
        try:
            self.process.await_answer(self.port, path=routing.path(0) if routes else "/")
        except BaseException:
            self.process.stop()
            raise

    @property
    def pid(self):
        """Of the process that was started."""
        return self.process.pid

    def stop(self):
        """Ends it."""
        self.process.stop()


def lines(pattern, endpoints):
    """What a template says about the endpoints."""
    for number, address in enumerate(endpoints):
        host, _, port = address.partition(":")
        yield pattern.format(number=number, address=address, host=host, port=port)
