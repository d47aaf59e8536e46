"""Starts processes on a core, waits until they answer, and ends them by their id."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time

# Where Debian puts servers; not on everybody's PATH.
SERVER_PATHS = ["/usr/local/sbin", "/usr/sbin", "/sbin"]


class Failed(Exception):
    """Something did not work; the text says what."""


def find(binary):
    """The path of an executable, or None."""
    return shutil.which(binary, path=os.pathsep.join([os.environ.get("PATH", ""), *SERVER_PATHS]))


def free_port():
    """A port below those that the kernel gives to connections, so that none of these can take it meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    for port in random.sample(range(10240, max(lowest, 20480)), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Failed("no free port")


def descendants(pid):
    """A process and its children at all depths, parents first."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def started(pid):
    """When a process was started, in ticks since the machine was; None if there is no such process. With its id it is
    the name of one process for good."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return None


class Process:
    """A server on a core of its own choosing. Its output goes to a file, for when it fails."""

    def __init__(self, command, directory, core, environment=None, sockets=()):
        self.output = os.path.join(directory, "output")
        with open(self.output, "w") as output:
            self.child = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=sockets,
                # Ctrl-C is for us: we end our children in order.
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        self.pid = self.child.pid

    def await_answer(self, port, seconds=60, path="/"):
        """Returns when a GET through `port` is answered with 200."""
        deadline = time.monotonic() + seconds
        last = "no answer"
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise Failed(f"it ended with code {self.child.returncode}: {self.last_line()}")
            try:
                with socket.create_connection(("127.0.0.1", port), 2) as stream:
                    stream.settimeout(5)
                    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                    status = stream.recv(4096)[:12]
                if status == b"HTTP/1.1 200":
                    return
                last = status.decode(errors="replace") or "connection closed"
            except OSError as error:
                last = str(error)
            time.sleep(0.05)
        raise Failed(f"no 200 within {seconds} s ({last}): {self.last_line()}")

    def last_line(self):
        """The end of its output."""
        with open(self.output, errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return lines[-1] if lines else "it wrote nothing"

    def stop(self):
        """Ends it and its children. The parent goes first: nginx's master ends its workers, and would replace one that
        dies before it. An impatient second Ctrl-C waits until that is done."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        try:
            self.end_family()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def end_family(self):
        """The work of `stop`."""
        family = [(pid, started(pid)) for pid in descendants(self.pid)]
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pid, when in family[1:]:
            if when and started(pid) == when:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
