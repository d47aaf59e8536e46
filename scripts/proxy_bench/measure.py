"""What a process costs: CPU time over all threads of it and its children, and resident memory."""

import os
import re
import socket
import time

from processes import Failed, descendants

TICKS = os.sysconf("SC_CLK_TCK")
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def task_seconds(task):
    """User and system time of a thread, by the scheduler's clock, or by its ticks where the kernel has no other."""
    try:
        with open(f"{task}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except FileNotFoundError:
        with open(f"{task}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_seconds(pid):
    """CPU time so far of all threads of a process and of its children."""
    total = 0.0
    for process in descendants(pid):
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                total += task_seconds(f"/proc/{process}/task/{thread}")
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has just ended.
    return total


def memory_kib(pid):
    """Resident memory of a process and its children; what they share counts once (Pss)."""
    total = 0
    for process in descendants(pid):
        try:
            with open(f"/proc/{process}/smaps_rollup") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE)[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def open_idle(port, connections, wanted):
    """Adds keep-alive connections, each with one request behind it, until there are as many as wanted."""
    while len(connections) < wanted:
        stream = socket.create_connection(("127.0.0.1", port), 10)
        connections.append(stream)
        stream.settimeout(10)
        stream.sendall(REQUEST)
        answer = b""
        while not complete(answer):
            read = stream.recv(4096)
            if not read:
                raise Failed(f"connection {len(connections)} was closed before its answer")
            answer += read
        stream.setblocking(False)


def complete(answer):
    """Whether an answer has come with its whole body, by its length or in chunks."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))


def closed(connections):
    """How many of the idle connections the other side has closed."""
    count = 0
    for stream in connections:
        try:
            count += not stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        except OSError:
            count += 1
    return count


def idle_memory(pid, port, steps):
    """Resident memory in KiB with each of these numbers of idle keep-alive connections."""
    connections, sample = [], {}
    try:
        for count in steps:
            open_idle(port, connections, count)
            time.sleep(1)
            sample[f"idle{count}"] = memory_kib(pid)
            if lost := closed(connections):
                raise Failed(f"{lost} of {count} idle connections were closed")
    finally:
        for stream in connections:
            stream.close()
    return sample
