"""What one scenario plays on: instances, a proxy in front of them, the registry for ours, and the load."""

import json
import os
import signal
import subprocess
import time

import rivals
from lab import Failed, eventually, get, now_ms
from network import REGISTRY
from record import Death, Outage, Record, Stop

# More than any scenario takes, beside the time without a registry; it ends the load if nobody else does.
MOST_SECONDS = 600
# How soon a supervisor starts anew what has died.
SUPERVISED_AFTER = 0.3


class Instance:
    """A place for lives of an instance: its name and port are the same in each."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.process = None


class Stage:
    """A proxy and its instances. `rival` is None for Berth's balancer; `path` is the way to a registry that can be cut
    off."""

    def __init__(self, lab, plan, rival=None, path=None):
        self.lab = lab
        self.plan = plan
        self.rival = rival
        self.path = path
        self.record = Record(lost_as=rival.lost_as) if rival else Record()
        self.instances = []
        self.registry = None
        self.balancer = None
        self.load = None
        # Of a hundred GETs, those that take 1 to 3 s.
        self.slow = 10
        self.registry_port = lab.port()
        self.port = lab.port()
        self.names = []

    def set_up(self, count):
        """Starts everything, and waits until all instances have answered through the proxy."""
        if not self.rival:
            self.start_registry()
        self.instances = [Instance(f"i{number}", self.lab.port()) for number in range(count)]
        self.start(*self.instances)
        self.start_proxy()
        missing = {instance.name for instance in self.instances}

        def is_complete():
            if answer := get(self.port):
                missing.difference_update(answer[1].split())
            return not missing

        eventually(f"answers of all instances through the {self.proxy_name()}", is_complete)

    def proxy_name(self):
        """What stands in front."""
        return self.rival.name if self.rival else "balancer"

    # The registry.

    def registry_address(self):
        """Where it listens."""
        return f"{REGISTRY if self.path else '127.0.0.1'}:{self.registry_port}"

    def start_registry(self):
        """Starts it, without data, and waits until it answers."""
        command = [self.lab.binary("registry"), "listen"]
        if self.path:
            command = self.path.wrap([*command, self.registry_address(), "--insecure"])
        else:
            command.append(str(self.registry_port))
        self.registry = self.lab.start("registry", command)
        eventually("the registry answers", self.registry_answers)

    def registry_answers(self):
        """Whether it does, within a second."""
        return get(self.registry_port, "/readyz", REGISTRY if self.path else "127.0.0.1", seconds=1)

    def kill_registry(self):
        """As a crash would."""
        self.registry.signal(signal.SIGKILL)
        self.registry.wait()

    # The proxy.

    def start_proxy(self):
        """Starts the balancer or a rival."""
        if self.rival:
            binary = self.plan.rivals[self.rival.name]
            ports = [instance.port for instance in self.instances]
            self.balancer = rivals.start(self.lab, self.rival, binary, self.port, ports)
            return
        command = [self.lab.binary("balancer"), "--registry", self.registry_address()]
        command += ["--listen", f"127.0.0.1:{self.port}", "--admin", "none"]
        if has_state_file(self.lab.binary("balancer")):
            command += ["--state", self.lab.path("state")]
        self.balancer = self.lab.start("balancer", command)

    def restart_proxy(self, number):
        """Ends it with a signal and starts it anew; when that was."""
        self.balancer.signal(number)
        self.balancer.wait()
        begun = now_ms()
        self.start_proxy()
        return begun

    # Instances.

    def spawn(self, instance):
        """Starts an instance and does not wait."""
        command = [self.lab.binary("examples/steady"), "serve", "--name", instance.name]
        command += ["--port", str(instance.port), "--notes", self.lab.path(f"{instance.name}.notes")]
        if not self.rival:
            command += ["--registry", self.registry_address()]
        if self.path:
            command += ["--host", "0.0.0.0"]
        self.names.append(instance.name)
        instance.process = self.lab.start(instance.name, command)

    def start(self, *instances):
        """Starts instances; returns when each of them answers."""
        for instance in instances:
            self.spawn(instance)
        for instance in instances:
            eventually(f"{instance.name} answers", lambda: get(instance.port))

    def kill(self, *instances):
        """kill -9, all at once; returns when they are dead."""
        self.mark()
        asked = now_ms()
        for instance in instances:
            instance.process.signal(signal.SIGKILL)
        for instance in instances:
            instance.process.wait()
        dead = now_ms()
        self.record.deaths += [Death(instance.name, asked, dead) for instance in instances]

    def terminate(self, instance):
        """SIGTERM; returns when it has ended."""
        self.mark()
        instance.process.signal(signal.SIGTERM)
        instance.process.wait()

    def stop(self, instance):
        """SIGSTOP."""
        self.mark()
        begun = now_ms()
        instance.process.stand_still()
        # Until it goes on, it has no end.
        self.record.stops.append(Stop(instance.name, begun, now_ms(), float("inf")))

    def go_on(self, instance):
        """SIGCONT."""
        for stop in self.record.stops:
            if stop.name == instance.name:
                stop.went_on_ms = min(stop.went_on_ms, now_ms())
        instance.process.signal(signal.SIGCONT)

    def outage(self, seconds):
        """Kills all instances, and starts the first again after a while."""
        begun = now_ms()
        self.kill(*self.instances)
        dead = now_ms()
        self.pause(seconds)
        self.start(self.instances[0])
        self.record.outages.append(Outage(begun, dead, now_ms()))

    # The load.

    def mark(self):
        """Something happens now, after which traffic has to move."""
        self.record.marks.append(now_ms())

    def begin_load(self, rate=None):
        """Clients begin to ask."""
        command = [self.lab.binary("examples/steady"), "load", "--target", f"127.0.0.1:{self.port}"]
        seconds = MOST_SECONDS + int(self.plan.away_s)
        command += ["--rate", str(rate or self.plan.rate), "--seconds", str(seconds), "--slow", str(self.slow)]
        self.load = self.lab.start("load", command, listens_to_us=True)

    def pause(self, seconds):
        """Lets the load run for a while."""
        time.sleep(seconds)
        for process in (self.load, self.balancer):
            if process and not process.is_alive():
                raise Failed(f"{process.name} has ended: {process.last_words()}")

    def end_load(self):
        """Clients get what they wait for, and tell what they have seen."""
        if self.load:
            self.load.child.stdin.close()
            self.load.wait(90)
            self.read()
            self.load = None
        return self.record

    def read(self):
        """What clients told, and what instances have noted."""
        with open(self.load.output) as file:
            for line in file:
                one = json.loads(line)
                if one["event"] == "sum":
                    self.record.sum = one
                elif one["event"] in ("failed", "slow"):
                    getattr(self.record, one["event"]).append(one)
        if not self.record.sum:
            raise Failed(f"the load has no sum: {self.load.last_words()}")
        for name in set(self.names):
            path = self.lab.path(f"{name}.notes")
            if os.path.exists(path):
                with open(path) as file:
                    for line in file:
                        noted_ms, method, id = line.split()
                        if method == "POST":
                            self.record.notes.setdefault(id, []).append(name)
                        else:
                            self.record.visits.setdefault(id, []).append((name, float(noted_ms)))


def has_state_file(balancer):
    """Whether this balancer keeps what it knows in a file."""
    told = subprocess.run([balancer, "--help"], capture_output=True, text=True, timeout=20, check=True)
    return "--state" in told.stdout
