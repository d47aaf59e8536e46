"""The scenarios: what is done to instances and registries while clients ask."""

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable

from lab import Failed, eventually, get, now_ms
from stage import SUPERVISED_AFTER, Instance

# Of an instance that says nothing else.
LEASE = 15


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how much; the short form is for every change of the code."""

    rate: int
    rounds: int
    outages: int
    stopped_s: float
    away_s: float
    starts: int
    cycles: int
    flaps: int
    # Paths of HAProxy and nginx; none where they are left out.
    rivals: dict


@dataclasses.dataclass(frozen=True)
class Scene:
    """A scenario. `play` is called under load, unless it begins that itself."""

    name: str
    title: str
    play: Callable
    instances: int = 4
    # Rivals have no registry.
    has_rivals: bool = False
    is_short: bool = False
    needs_network: bool = False
    begins_load: bool = False
    moved_within_ms: float = 1000
    # Of a hundred GETs, those that take 1 to 3 s.
    slow: int = 10
    first_answer_within_ms: float | None = None
    service_within_ms: float | None = None

    def told(self, plan):
        """The title, with the figures of a plan."""
        return self.title.format(lease=LEASE, **dataclasses.asdict(plan))


def killed(stage):
    """One after the other, each started again soon."""
    for _ in range(stage.plan.rounds):
        for instance in stage.instances:
            stage.kill(instance)
            stage.pause(SUPERVISED_AFTER)
            stage.start(instance)
            stage.pause(0.4)


def two_killed(stage):
    """Half of them."""
    for number in range(5):
        pair = [stage.instances[number % 4], stage.instances[(number + 1) % 4]]
        stage.kill(*pair)
        stage.pause(3)
        stage.start(*pair)
        stage.pause(1.5)


def all_killed(stage):
    """Nobody is left for a while."""
    for _ in range(stage.plan.outages):
        stage.outage(3)
        stage.pause(5)
        stage.start(*stage.instances[1:])
        stage.pause(1.5)


def rolling(stage):
    """As a new version is rolled out."""
    for _ in range(4):
        for instance in stage.instances:
            stage.terminate(instance)
            stage.start(instance)
            stage.pause(0.5)


def stopped(stage):
    """One hangs, and recovers."""
    stage.stop(stage.instances[0])
    stage.pause(stage.plan.stopped_s)
    stage.go_on(stage.instances[0])
    stage.pause(3)


def registry_killed(stage):
    """It comes back without data."""
    stage.mark()
    stage.kill_registry()
    stage.pause(stage.plan.away_s)
    stage.start_registry()
    stage.pause(6)


def registry_hung(stage):
    """It takes calls and answers none."""
    stage.mark()
    stage.registry.stand_still()
    if stage.registry_answers():
        raise Failed("the registry is stopped, and answers all the same")
    stage.pause(stage.plan.away_s)
    stage.registry.signal(signal.SIGCONT)
    stage.pause(6)


def registry_forgets(stage):
    """An instance dies while nobody is there to tell of it."""
    stage.mark()
    stage.kill_registry()
    stage.pause(1)
    stage.kill(stage.instances[0])
    stage.pause(1)
    stage.mark()
    stage.start_registry()
    # Past the time in which absence means nothing.
    stage.pause(LEASE + 5)
    stage.start(stage.instances[0])
    stage.pause(2)


def registry_flaps(stage):
    """Again and again, without data."""
    for _ in range(stage.plan.flaps):
        stage.mark()
        stage.kill_registry()
        stage.pause(2)
        stage.start_registry()
        stage.pause(2)


def cut_off(stage):
    """Packets vanish, and nobody is told."""
    stage.mark()
    stage.path.cut()
    if stage.registry_answers():
        raise Failed("the path is cut, and the registry answers all the same")
    stage.pause(5 * LEASE)
    stage.path.mend()
    stage.pause(10)


def started_in_outage(stage):
    """The balancer knows its instances only from its file."""
    ports = [str(instance.port) for instance in stage.instances]
    give_up = time.monotonic() + 15

    def is_written():
        path = stage.lab.path("state")
        if os.path.exists(path):
            with open(path) as file:
                text = file.read()
            return all(port in text for port in ports)
        return time.monotonic() > give_up

    eventually("the state file names all instances", is_written)
    stage.kill_registry()
    for number in range(stage.plan.starts):
        begun = stage.restart_proxy([signal.SIGTERM, signal.SIGKILL][number % 2])
        eventually("the first answer", lambda: (get(stage.port) or [0])[0] == 200, seconds=10, pause=0.002)
        stage.record.first_answers_ms.append(now_ms() - begun)
    stage.begin_load()
    stage.pause(4)
    stage.start_registry()
    stage.pause(4)


def cycles(stage):
    """Instances come, serve for a moment and go; some stay."""
    places, begun, ended = [], 0, 0
    while ended < stage.plan.cycles:
        # Those that were told to end still finish what runs there.
        serving = sum(until != float("inf") for _, until in places)
        if serving < 12 and begun < stage.plan.cycles:
            begun += 1
            instance = Instance(f"c{begun}", 0)
            stage.spawn(instance)
            places.append([instance, None])
        for place in list(places):
            instance, until = place
            if until is None:
                if not instance.process.is_alive():
                    raise Failed(f"{instance.name} has ended: {instance.process.last_words()}")
                if instance.process.has_printed("registered"):
                    place[1] = time.monotonic() + random.uniform(0.05, 0.5)
            elif not instance.process.is_alive():
                places.remove(place)
                ended += 1
            elif time.monotonic() > until:
                instance.process.signal(signal.SIGTERM)
                place[1] = float("inf")
        stage.pause(0.01)


SCENES = [
    Scene(
        "killed",
        "each of 5 instances killed in turn, {rounds} times",
        killed,
        5,
        has_rivals=True,
        is_short=True,
        # Somebody dies every 0.7 s: a request that takes longer may meet one death after the other.
        slow=0,
    ),
    Scene("two", "two of 4 killed at once", two_killed, has_rivals=True),
    Scene("all", "all 4 killed, and back", all_killed, has_rivals=True, is_short=True, service_within_ms=2000),
    Scene("rolling", "5 restarted in turn by SIGTERM, 4 times", rolling, 5, has_rivals=True),
    Scene(
        "stopped",
        "one of 4 stopped for {stopped_s:g} s",
        stopped,
        has_rivals=True,
        is_short=True,
        moved_within_ms=5000,
    ),
    Scene("registry-killed", "registry killed for {away_s:g} s", registry_killed, is_short=True),
    Scene("registry-hung", "registry hung for {away_s:g} s", registry_hung),
    Scene("registry-forgets", "registry restarted without data while an instance dies", registry_forgets),
    Scene("registry-flaps", "registry killed and started {flaps} times", registry_flaps),
    Scene(
        "cut-off",
        "packets to and from the registry vanish for five leases of {lease} s",
        cut_off,
        needs_network=True,
    ),
    Scene(
        "started-in-outage",
        "balancer started {starts} times while the registry is away",
        started_in_outage,
        is_short=True,
        begins_load=True,
        first_answer_within_ms=200,
    ),
    Scene("cycles", "{cycles:,} instances started and stopped beside 3 that stay", cycles, 3),
]

FULL = Plan(rate=2000, rounds=20, outages=3, stopped_s=20, away_s=60, starts=6, cycles=1000, flaps=10, rivals={})
SHORT = Plan(rate=300, rounds=1, outages=1, stopped_s=6, away_s=6, starts=2, cycles=50, flaps=3, rivals={})
