"""What the samples say: medians, ratios to HAProxy, and the tables of docs/benchmarks.md. Nothing here measures."""

import math
import statistics

BASE = "haproxy"
BEGIN = "<!-- proxy-bench:begin -->"
END = "<!-- proxy-bench:end -->"


class Results:
    """Samples by workload, peer and round. A sample is a dict of figures."""

    def __init__(self):
        self.samples = {}

    def add(self, workload, peer, number, sample):
        """Keeps the sample of a round."""
        self.samples.setdefault(workload, {}).setdefault(peer, {})[number] = sample

    def rounds(self, workload, peer):
        """The samples of a peer by round; empty if it was not measured."""
        return self.samples.get(workload, {}).get(peer, {})

    def median(self, workload, peer, figure):
        """Over the rounds, or None."""
        values = [sample[figure] for sample in self.rounds(workload, peer).values()]
        return statistics.median(values) if values else None

    def ratio(self, workload, peer, figure):
        """The median of the ratios to HAProxy in the same round, or None."""
        base = self.rounds(workload, BASE)
        ratios = [
            sample[figure] / base[number][figure]
            for number, sample in self.rounds(workload, peer).items()
            if number in base and base[number][figure]
        ]
        return statistics.median(ratios) if ratios else None

    def errors(self, workload, peer):
        """Failed requests of all rounds."""
        return sum(sample.get("errors", 0) for sample in self.rounds(workload, peer).values())

    def plain(self):
        """For JSON: each round, the medians and the ratios."""
        return {
            workload: {
                peer: {
                    "rounds": [{"round": number, **sample} for number, sample in sorted(rounds.items())],
                    "median": {figure: self.median(workload, peer, figure) for figure in first(rounds)},
                    "ratio": {figure: self.ratio(workload, peer, figure) for figure in first(rounds)},
                }
                for peer, rounds in peers.items()
            }
            for workload, peers in self.samples.items()
        }


def first(rounds):
    """The names of the figures."""
    return next(iter(rounds.values()))


def short(value):
    """Three digits that count, thousands separated: 0.123, 4.56, 78.9, 1,230."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}"


def microseconds(value):
    """A time with a unit that suits it."""
    if value is None:
        return "–"
    return f"{short(value)} µs" if value < 1000 else f"{short(value / 1000)} ms"


def mebibytes(kib):
    """Memory."""
    return "–" if kib is None else f"{short(kib / 1024)} MiB"


def table(head, rows):
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def cell(results, workload, peer, figure, unit=short):
    """A median, and behind the ratio unless it is HAProxy's own."""
    median = results.median(workload, peer, figure)
    ratio = results.ratio(workload, peer, figure)
    if median is None:
        return "–"
    mark = " (!)" if results.errors(workload, peer) else ""
    if peer == BASE or ratio is None:
        return unit(median) + mark
    return f"**{ratio:.2f}** · {unit(median)}{mark}"


def figures_table(results, workloads, peers, what, figure, unit=short):
    """One figure of all workloads that were measured."""
    rows = [
        [workload.title, *(cell(results, workload.name, peer.name, figure, unit) for peer in peers)]
        for workload in workloads
        if workload.name in results.samples
    ]
    return table([what, *(peer.title for peer in peers)], rows)


def memory_table(results, peers, steps):
    """Memory with idle connections, and what one costs."""
    few, many = (f"idle{step}" for step in steps)
    rows = [
        [f"{step:,} idle connections"]
        + [cell(results, "idle", peer.name, figure, mebibytes) for peer in peers]
        for step, figure in ((steps[0], few), (steps[1], many))
    ]
    per_connection = ["each of them"]
    for peer in peers:
        samples = results.rounds("idle", peer.name).values()
        costs = [(sample[many] - sample[few]) / (steps[1] - steps[0]) for sample in samples]
        per_connection.append(f"{short(statistics.median(costs))} KiB" if costs else "–")
    return table(["resident memory", *(peer.title for peer in peers)], [*rows, per_connection])


def section(results, workloads, peers, steps, about, plot=None):
    """What stands between the markers. `workloads` are those of wrk."""
    measured = [workload for workload in workloads if workload.name in results.samples]
    parts = [about]
    if plot and measured:
        parts.append(f"![CPU time per request as a ratio to HAProxy; shorter is better]({plot})")
    if measured:
        parts += [
            figures_table(results, measured, peers, "CPU time per request", "cpu", microseconds),
            figures_table(results, measured, peers, "requests per second", "rate"),
            figures_table(results, measured, peers, "latency, p50", "p50", microseconds),
            figures_table(results, measured, peers, "latency, p99", "p99", microseconds),
        ]
    if "idle" in results.samples:
        parts.append(memory_table(results, peers, steps))
    failed = [
        f"{workload.title}: {peer.title} {count:,}"
        for workload in measured
        for peer in peers
        if (count := results.errors(workload.name, peer.name))
    ]
    if failed:
        parts.append(f"(!) With failed requests, in all rounds together: {'; '.join(failed)}.")
    return "\n\n".join(parts) + "\n"


def replace_section(document, text):
    """The document with another text between its markers. Raises ValueError unless both are there once, in order."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"it needs the lines {BEGIN} and {END}, each once")
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{END} stands before {BEGIN}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"
