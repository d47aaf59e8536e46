"""Processes of a run: started, signalled and ended by their id; and waiting for what must happen."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from processes import Failed, descendants, free_port, started

# Long, because a busy machine is no bug; nothing that works ever waits so long.
PATIENCE = 30
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def now_ms():
    """By the clock that all processes share."""
    return time.time() * 1000


def eventually(what, ask, seconds=PATIENCE, pause=0.005):
    """Asks again and again until the answer is a true one, and returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)
    return answer


def get(port, path="/", host="127.0.0.1", seconds=2):
    """Status and content of an answer, or None if there is none."""
    request = f"GET {path} HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection((host, port), seconds) as stream:
            stream.settimeout(seconds)
            stream.sendall(request)
            while read := stream.recv(65536):
                answer += read
    except OSError:
        return None
    head, end, content = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not end or len(words) < 2 or not words[1].isdigit():
        return None
    return int(words[1]), content.decode(errors="replace")


def die_with_us():
    """In the child: even if we are killed ourselves, nothing of ours stays behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process. What it prints is in the file `output`."""

    def __init__(self, directory, name, command, listens_to_us=False):
        self.name = name
        self.output = os.path.join(directory, f"{name}.out")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("BERTH_", "RUST_"))}
        with open(self.output, "ab") as output, open(os.path.join(directory, f"{name}.log"), "ab") as log:
            self.printed_before = output.tell()
            self.child = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.PIPE if listens_to_us else subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env={**environment, "HOME": directory},
                # Ctrl-C is for us: we end our children in order.
                start_new_session=True,
                preexec_fn=die_with_us,
            )
        self.log = os.path.join(directory, f"{name}.log")
        self.pid = self.child.pid

    def is_alive(self):
        """Whether it still runs, or is stopped."""
        return self.child.poll() is None

    def signal(self, number):
        """Sends it a signal."""
        if self.is_alive():
            os.kill(self.pid, number)

    def stand_still(self):
        """SIGSTOP; returns when all its threads stand."""
        self.signal(signal.SIGSTOP)
        eventually(f"{self.name} stands still", lambda: all(state == "T" for state in self.thread_states()))

    def thread_states(self):
        """A letter for each, as in proc(5)."""
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/stat") as file:
                yield file.read().rpartition(")")[2].split()[0]

    def wait(self, seconds=PATIENCE):
        """Waits for its end."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end") from None

    def has_printed(self, word):
        """Whether this life of it has printed a line that begins so; the line."""
        with open(self.output, errors="replace") as file:
            file.seek(self.printed_before)
            return next((line.strip() for line in file if line.startswith(word)), None)

    def last_words(self):
        """The end of what it said."""
        with open(self.log, errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def end(self):
        """Ends it and its children. A parent of workers goes first, and politely: it would replace one that dies before
        it."""
        family = [(pid, started(pid)) for pid in descendants(self.pid)] if self.is_alive() else []
        if len(family) > 1:
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(3)
        if self.is_alive():
            self.child.kill()
            self.child.wait()
        for pid, when in family[1:]:
            if when and started(pid) == when:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.child.stdin:
            self.child.stdin.close()


class Lab:
    """A directory and the processes of one scenario; all are ended with it."""

    def __init__(self, binaries, name, kept_in=None):
        self.binaries = binaries
        if kept_in:
            self.directory = os.path.join(os.path.abspath(kept_in), name)
            shutil.rmtree(self.directory, ignore_errors=True)
            os.makedirs(self.directory)
        else:
            self.directory = tempfile.mkdtemp(prefix="berth-chaos-")
        # nginx's workers have another user when root starts it.
        os.chmod(self.directory, 0o755)
        self.is_kept = bool(kept_in)
        self.processes = []
        self.ports = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # An impatient second Ctrl-C waits until all are ended.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        try:
            for process in reversed(self.processes):
                process.end()
            if not self.is_kept:
                shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def start(self, name, command, **more):
        """Starts a process. It is ended with the lab at the latest."""
        # What has ended need not be remembered: a thousand come and go.
        self.processes = [process for process in self.processes if process.is_alive()]
        process = Process(self.directory, name, command, **more)
        self.processes.append(process)
        return process

    def binary(self, name):
        """The path of one of ours."""
        return os.path.join(self.binaries, name)

    def path(self, name):
        """A file of this scenario."""
        return os.path.join(self.directory, name)

    def port(self):
        """A port that is free, and not given out before."""
        while (port := free_port()) in self.ports:
            pass
        self.ports.add(port)
        return port
