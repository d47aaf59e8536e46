"""Sets the balancer beside HAProxy, nginx and other proxies on this machine.

Two cores: the proxy under test has one, the load (wrk) and the endpoints (nginx) share the other. Every round measures
every proxy, in an order that rotates; what is told are medians over the rounds, and medians of the ratios to HAProxy in
the same round. All traffic stays on the loopback interface. Progress goes to stderr, the result to stdout and into
docs/benchmarks.md."""

import argparse

import load
import peers
import report

DOCUMENT = "docs/benchmarks.md"
# With fewer rounds a median says little, and nothing is written.
LEAST_ROUNDS = 5


def names(choices):
    """A comma-separated choice."""

    def parse(value):
        chosen = [name for name in value.split(",") if name]
        if not chosen or (unknown := [name for name in chosen if name not in choices]):
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown) if chosen else 'nothing'}: not among {','.join(choices)}"
            )
        return chosen

    return parse


def whole(least):
    """A whole number, not less than `least`."""

    def parse(value):
        if not value.isdecimal() or int(value) < least:
            raise argparse.ArgumentTypeError(f"{value}: not a whole number of {least} or more")
        return int(value)

    return parse


def parse():
    """The command line."""
    all_peers = [peer.name for peer in peers.PEERS]
    all_workloads = [workload.name for workload in load.WORKLOADS]
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=whole(1), default=LEAST_ROUNDS, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--secs", type=whole(1), default=3, metavar="S", help="of load for each figure; default: %(default)s"
    )
    parser.add_argument("--workloads", type=names(all_workloads), metavar="A,B", help=f"of {','.join(all_workloads)}")
    parser.add_argument("--peers", type=names(all_peers), metavar="A,B", help=f"of {','.join(all_peers)}")
    parser.add_argument("--no-write", action="store_true", help=f"leave {DOCUMENT} as it is")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table", help="what goes to stdout")
    return parser.parse_args()


def reason_not_to_write(options):
    """Why the document stays as it is, or None."""
    if options.no_write:
        return "--no-write"
    if options.rounds < LEAST_ROUNDS:
        return f"fewer than {LEAST_ROUNDS} rounds"
    if options.workloads and len(set(options.workloads)) < len(load.WORKLOADS):
        return "not all workloads"
    if options.peers and not {"balancer", report.BASE} <= set(options.peers):
        return f"not both balancer and {report.BASE}"
    return None
