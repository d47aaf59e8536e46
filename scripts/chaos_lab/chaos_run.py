"""Kills, stops and cuts off instances and registries under steady load, and counts what clients see.

Real processes on the loopback interface of a network namespace of their own, where that may be made: the balancer, the
registry, instances that note each POST they get, and clients with kept and fresh connections, GET and POST. HAProxy and
nginx play the scenarios that need no registry. Progress goes to stderr, the tables to stdout and, of a full run, into
docs/reliability.md. Ends with 1 if a request failed that must not; a full run also if anything was slower than
promised."""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import network
import rivals
import scenes
import table
from lab import Failed, Lab
from processes import find
from stage import Stage
from verdict import judge, shortcomings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = "docs/reliability.md"
# Set where we run in a network namespace of our own.
OWN_NETWORK = "BERTH_CHAOS_OWN_NETWORK"


def say(line):
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def seconds(text):
    """A time on the command line."""
    if not 0 < float(text) < 86_400:
        raise ValueError
    return float(text)


def parse():
    """The command line."""
    names = [scene.name for scene in scenes.SCENES]
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a few scenarios at 300 requests/s, in about a minute")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"repeat it for several of {', '.join(names)}"
    )
    parser.add_argument("--no-peers", action="store_true", help="without HAProxy and nginx")
    parser.add_argument("--rate", type=int, metavar="N", help="requests a second, instead of 2,000 or 300")
    parser.add_argument("--away", type=seconds, metavar="S", help="seconds without a registry, instead of 60 or 6")
    parser.add_argument("--bin", metavar="DIR", help="the binaries are there, instead of being built for release")
    parser.add_argument("--out", metavar="FILE", help=f"write the tables into this file; of a full run: {DOCUMENT}")
    parser.add_argument("--keep", metavar="DIR", help="keep logs and records there")
    return parser.parse_args()


def build():
    """Builds what is needed; the directory of the binaries."""
    cargo = find("cargo")
    if not cargo:
        raise Failed("cargo is missing")
    command = [cargo, "build", "--release", "--locked", "--workspace", "--bins", "--example", "steady"]
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr, timeout=3600).returncode:
        raise Failed("the binaries could not be built")
    command = [cargo, "metadata", "--no-deps", "--format-version", "1"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    return os.path.join(json.loads(found)["target_directory"], "release")


def enter_own_network(script, binaries):
    """Starts this script anew in a network namespace of its own, where nobody else's ports are in the way. Returns only
    where that is not possible, or done."""
    if os.environ.get(OWN_NETWORK):
        network.run("ip", "link", "set", "lo", "up")
        return True
    if not network.is_possible():
        return False
    arguments = [*sys.argv[1:], "--bin", binaries]
    os.environ[OWN_NETWORK] = "1"
    os.execv(find("unshare"), ["unshare", "--net", sys.executable, script, *arguments])


def chosen(options, has_network):
    """The scenarios to play."""
    for scene in scenes.SCENES:
        if options.only:
            if scene.name not in options.only:
                continue
        elif options.short and not scene.is_short:
            continue
        if scene.needs_network and not has_network:
            say(f"{scene.name}: skipped: network namespaces need root, ip and nsenter")
            continue
        yield scene


def play(scene, plan, options, binaries, rival):
    """Plays a scenario before one proxy; its record, or None if it could not be played."""
    name = f"{scene.name}-{rival.name if rival else 'balancer'}"
    with Lab(binaries, name, options.keep) as lab:
        path = network.Path(lab) if scene.needs_network else None
        stage = Stage(lab, plan, rival, path)
        stage.slow = scene.slow
        stage.set_up(scene.instances)
        if not scene.begins_load:
            stage.begin_load()
            stage.pause(1)
        scene.play(stage)
        stage.pause(1)
        record = stage.end_load()
        if options.keep:
            with open(lab.path("record.json"), "w") as file:
                json.dump(dataclasses.asdict(record), file, default=list)
        return record


def told(verdict, missed):
    """A line of progress."""
    failed = f"{verdict.failed:,} failed, {verdict.lost:,} lost, {verdict.twice:,} twice, {verdict.resent:,} sent again"
    moved = table.milliseconds(verdict.moved_ms)
    kinds = f" {verdict.kinds}" if verdict.kinds else ""
    faults = f": {', '.join(missed)}" if missed else ""
    return (
        f"{verdict.requests:,} requests, {failed}, moved {moved}, p99 {table.milliseconds(verdict.p99_ms)}, longest "
        f"{table.milliseconds(verdict.longest_ms)}, load late {verdict.lag_ms:.0f} ms{kinds}{faults}"
    )


def play_all(options, plan, binaries, has_network):
    """Plays everything; the results in order, and whether all is as it must be."""
    results, is_good = [], True
    for scene in chosen(options, has_network):
        for rival in [None, *(rival for rival in rivals.RIVALS if scene.has_rivals and rival.name in plan.rivals)]:
            title = rival.title if rival else "Berth"
            begun = time.monotonic()
            try:
                verdict = judge(play(scene, plan, options, binaries, rival))
            except (Failed, OSError, subprocess.SubprocessError) as error:
                say(f"{scene.name}  {title}: {error}")
                is_good &= rival is not None
                continue
            missed = shortcomings(verdict, scene)
            results.append((scene.told(plan), title, verdict))
            say(f"{scene.name}  {title}: {time.monotonic() - begun:.0f} s: {told(verdict, missed)}")
            if rival is None:
                is_good &= verdict.is_harmless if options.short else not missed
    return results, is_good


def version(binary):
    """What a rival calls itself."""
    done = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    number = re.search(r"(\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return number[1] if number else "?"


def about(options, plan):
    """Where the figures come from."""
    present = [rival for rival in rivals.RIVALS if rival.name in plan.rivals]
    versions = [f"{rival.title} {version(plan.rivals[rival.name])}" for rival in present]
    date = datetime.date.today().isoformat()
    words = ["scripts/chaos", "--short" * options.short, f"--rate {options.rate}" if options.rate else ""]
    words += [f"--away {options.away:g}"] if options.away else []
    repeat = " ".join(filter(None, [*words, *(f"--only {name}" for name in options.only or [])]))
    beside = f", beside {' and '.join(versions)}" if versions else ""
    return (
        f"{date}, {os.cpu_count()} cores for everything, the clients as well{beside}. {plan.rate:,} requests/s; "
        f"`{repeat}` repeats it."
    )


def has_all(results, plan):
    """Whether every scenario was played before every proxy."""
    wanted = {(scene.told(plan), "Berth") for scene in scenes.SCENES}
    for rival in rivals.RIVALS:
        wanted |= {(scene.told(plan), rival.title) for scene in scenes.SCENES if scene.has_rivals}
    return wanted == {(scene, proxy) for scene, proxy, _ in results}


def write(options, text, is_complete):
    """Puts the tables into the document."""
    path = options.out
    if not path:
        if options.short or options.only or options.no_peers or options.rate or options.away:
            return
        if not is_complete:
            say(f"{DOCUMENT} stays as it is: a scenario is missing")
            return
        path = os.path.join(ROOT, DOCUMENT)
    try:
        with open(path) as file:
            document = file.read()
    except FileNotFoundError:
        document = f"{table.BEGIN}\n{table.END}\n"
    document = table.replace_section(document, text)
    with open(path, "w") as file:
        file.write(document)


def main(script):
    """One run."""
    options = parse()
    # So that everything we started is ended on these too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        binaries = os.path.abspath(options.bin or build())
        has_network = enter_own_network(script, binaries)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        found = {} if options.no_peers or options.short else {rival.name: find(rival.name) for rival in rivals.RIVALS}
        for name in [name for name, path in found.items() if not path]:
            say(f"{name} is missing: it takes no part")
            del found[name]
        plan = dataclasses.replace(scenes.SHORT if options.short else scenes.FULL, rivals=found)
        plan = dataclasses.replace(plan, rate=options.rate or plan.rate, away_s=options.away or plan.away_s)
        results, is_good = play_all(options, plan, binaries, has_network)
        settings = [f"{rival.title}: {rival.settings}." for rival in rivals.RIVALS if rival.name in found]
        text = table.section(results, about(options, plan), settings)
    except Failed as error:
        sys.exit(f"scripts/chaos: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    with contextlib.suppress(BrokenPipeError):
        print(text)
    write(options, text, is_complete=has_all(results, plan))
    sys.exit(0 if is_good else 1)
