"""A path to the registry that can be cut, so that packets vanish on it: three network namespaces in a row.

We and all that we start are in the first, the registry is in the last, and the one between forwards packets, or does
not. A link that is taken down would be noticed; a router that drops packets is not."""

import os
import subprocess

from lab import eventually
from processes import find

# Of the block for private use; nothing leaves our own namespaces.
OURS, NEAR, FAR, REGISTRY = "10.213.77.1", "10.213.77.2", "10.213.78.1", "10.213.78.2"
FAR_NETWORK = "10.213.78.0/30"


def is_possible():
    """Whether we may make namespaces."""
    if os.geteuid() != 0 or not all(find(tool) for tool in ("ip", "nsenter", "unshare")):
        return False
    return subprocess.run([find("unshare"), "--net", "true"], capture_output=True, timeout=10).returncode == 0


def run(*words):
    """Runs a command that must succeed."""
    subprocess.run([find(words[0]), *words[1:]], check=True, capture_output=True, timeout=10)


def inside(process, *words):
    """The same command, in the namespace of that process."""
    return [find("nsenter"), "-t", str(process.pid), "-n", *words]


class Path:
    """The way to the registry. It lasts as long as the processes that hold its namespaces."""

    def __init__(self, lab):
        self.router = self.hold(lab, "router")
        self.end = self.hold(lab, "registry-net")
        in_router = lambda *words: run(*inside(self.router, *words))
        in_end = lambda *words: run(*inside(self.end, *words))
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "hub0", "netns", str(self.router.pid))
        run("ip", "addr", "add", f"{OURS}/30", "dev", "near")
        run("ip", "link", "set", "near", "up")
        in_router("ip", "addr", "add", f"{NEAR}/30", "dev", "hub0")
        in_router("ip", "link", "set", "hub0", "up")
        end = str(self.end.pid)
        in_router("ip", "link", "add", "hub1", "type", "veth", "peer", "name", "far", "netns", end)
        in_router("ip", "addr", "add", f"{FAR}/30", "dev", "hub1")
        in_router("ip", "link", "set", "hub1", "up")
        in_end("ip", "addr", "add", f"{REGISTRY}/30", "dev", "far")
        in_end("ip", "link", "set", "far", "up")
        in_end("ip", "link", "set", "lo", "up")
        in_end("ip", "route", "add", "default", "via", FAR)
        run("ip", "route", "add", FAR_NETWORK, "via", NEAR)
        self.mend()

    @staticmethod
    def hold(lab, name):
        """A process in a new namespace."""
        process = lab.start(name, [find("unshare"), "--net", find("sleep"), "infinity"])
        own = os.readlink("/proc/self/ns/net")

        def is_apart():
            try:
                return os.readlink(f"/proc/{process.pid}/ns/net") != own
            except OSError:
                return False

        eventually(f"a namespace for {name}", is_apart)
        return process

    def cut(self):
        """From now on packets vanish."""
        run(*inside(self.router, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"))

    def mend(self):
        """Packets pass again."""
        run(*inside(self.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"))

    def wrap(self, command):
        """A command, at the registry's end."""
        return inside(self.end, *command)
