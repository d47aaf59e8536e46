"""What a record says: which failures had to be, which must not, and how long anybody was held up.

Nothing here measures. All times are milliseconds since 1970, by the clock that the processes share."""

import dataclasses

# An answer that took longer was held up by what happened: the instances take 5 ms.
HELD_UP_MS = 250
# And one that took so long was not held up by the machine.
HELD_MS = 1000
# After all instances were gone and one is back, requests may fail for so long before it counts.
BACK_WITHIN_MS = 2000
NOTHING_LEFT_MS = 50


@dataclasses.dataclass
class Death:
    """An instance was killed: asked for, and certainly dead."""

    name: str
    asked_ms: float
    dead_ms: float


@dataclasses.dataclass
class Outage:
    """All instances were dead; then one answered again."""

    begun_ms: float
    dead_ms: float
    back_ms: float


@dataclasses.dataclass
class Record:
    """What was done and what was seen in one scenario."""

    # Failed and slow requests, as the clients told of them.
    failed: list = dataclasses.field(default_factory=list)
    slow: list = dataclasses.field(default_factory=list)
    # The clients' sum.
    sum: dict = dataclasses.field(default_factory=dict)
    # Of each POST's id, the instances that noted it.
    notes: dict = dataclasses.field(default_factory=dict)
    # Moments after which traffic had to move.
    marks: list = dataclasses.field(default_factory=list)
    deaths: list = dataclasses.field(default_factory=list)
    outages: list = dataclasses.field(default_factory=list)
    # Instances that were stopped for a while, and when they went on.
    stopped: set = dataclasses.field(default_factory=set)
    went_on: list = dataclasses.field(default_factory=list)
    # Times from a start to the first answer.
    first_answers_ms: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Verdict:
    """The figures of one scenario. Those that do not apply are None."""

    requests: int
    failed_get: int
    failed_post: int
    # POSTs that a killed instance had got, and answers that one had begun.
    lost: int
    # POSTs that more than one instance got.
    twice: int
    # GETs that were kept waiting until a stopped instance went on.
    held: int
    # From an event until the last request began that failed or was held up by it.
    moved_ms: float | None
    p99_ms: float | None
    # Of GETs, and of POSTs that did not have to wait for the one instance that had them.
    longest_ms: float
    # With no instance left: how many requests were refused, whether with anything but a 503, how fast, and how soon the
    # first instance that came back had its requests.
    refused: int | None
    otherwise: int
    refused_p99_ms: float | None
    refused_max_ms: float | None
    service_ms: float | None
    first_answer_ms: float | None
    lag_ms: float
    # Failures that must not be, by their kind.
    kinds: dict

    @property
    def failed(self):
        """Requests that failed and must not."""
        return self.failed_get + self.failed_post

    @property
    def is_harmless(self):
        """Whether no client came to harm, however long it took: all that a busy machine can prove."""
        return not (self.failed or self.twice or self.held)


def judge(record):
    """The figures of a record."""
    unserved, served = split(record.failed, lambda one: any(within(one, outage) for outage in record.outages))
    lost, failed = split(served, lambda one: had_to_be(one, record))
    # With nobody left from the first moment on.
    refused, _ = split(unserved, lambda one: any(o.dead_ms <= one["begun_ms"] < o.back_ms for o in record.outages))
    refused_ms = sorted(map(took, refused))
    _, waited = split(served + record.slow, lambda one: is_held_by_stopped(one, record))
    return Verdict(
        requests=record.sum["ok"] + record.sum["failed"],
        failed_get=count(failed, "GET"),
        failed_post=count(failed, "POST"),
        lost=len(lost),
        twice=sum(len(names) > 1 for names in record.notes.values()),
        held=sum(is_held(one, record.went_on) for one in record.slow + served),
        moved_ms=None if record.outages or not record.marks else moved(served, record),
        p99_ms=record.sum["all"]["p99_ms"],
        longest_ms=max([record.sum["get"]["max_ms"] or 0, *map(took, waited)]),
        refused=len(refused) if record.outages else None,
        otherwise=sum(one["kind"] != "status-503" for one in refused),
        refused_p99_ms=at(refused_ms, 0.99),
        refused_max_ms=at(refused_ms, 1),
        service_ms=service(record),
        first_answer_ms=max(record.first_answers_ms, default=None),
        lag_ms=record.sum["lag_ms"],
        kinds=by_kind(failed) | {f"unserved {kind}": n for kind, n in by_kind(unserved).items()},
    )


def within(one, outage):
    """Whether a failure had to be, because there was nobody who could have answered, or only just."""
    return one["ended_ms"] >= outage.begun_ms and one["begun_ms"] <= outage.back_ms + BACK_WITHIN_MS


def had_to_be(one, record):
    """Whether a request was lost with its instance: a POST that it had got, or an answer that it had begun.

    An instance notes a POST once it has read its head. One that nobody noted, but was under way when an instance died,
    lay unread in the dead one's socket: whoever had sent it could not know better."""
    if one["kind"] == "broken":
        return any(one["begun_ms"] <= death.dead_ms <= one["ended_ms"] for death in record.deaths)
    if one["method"] != "POST":
        return False
    names = record.notes.get(one["id"], [])
    return any(
        one["begun_ms"] <= death.dead_ms and death.asked_ms <= one["ended_ms"] and (not names or death.name in names)
        for death in record.deaths
    )


def is_held_by_stopped(one, record):
    """Whether a POST waited for a stopped instance that had got it, and had to."""
    names = record.notes.get(one["id"], [])
    return one["method"] == "POST" and len(names) == 1 and names[0] in record.stopped


def is_held(one, went_on):
    """Whether a GET had to wait until a stopped instance went on."""
    waited = one["method"] == "GET" and took(one) >= HELD_MS
    return waited and any(one["begun_ms"] < moment <= one["ended_ms"] for moment in went_on)


def moved(failed, record):
    """How long after an event a request began that then failed or was held up; the longest of all events."""
    most = 0.0
    for one in failed + [one for one in record.slow if took(one) >= HELD_UP_MS]:
        since = [mark for mark in record.marks if mark <= one["begun_ms"]]
        # One that was under way when the next thing happened met with that.
        if since and not any(one["begun_ms"] < mark <= one["ended_ms"] for mark in record.marks):
            most = max(most, one["begun_ms"] - since[-1])
    return most


def service(record):
    """How long after the first instance was back requests still failed; the longest of all outages."""
    if not record.outages:
        return None
    ends = [outage.begun_ms for outage in record.outages[1:]] + [float("inf")]
    after = [
        one["begun_ms"] - outage.back_ms
        for outage, end in zip(record.outages, ends)
        for one in record.failed
        if outage.back_ms <= one["begun_ms"] and one["ended_ms"] < end
    ]
    return max(after, default=0.0)


def shortcomings(verdict, scene):
    """In which way figures are not what the scenario wants; a failed request is the first."""
    found = []
    if verdict.failed:
        found.append(f"{verdict.failed:,} requests failed")
    if verdict.twice:
        found.append(f"{verdict.twice:,} POSTs were delivered twice")
    if verdict.moved_ms is not None and verdict.moved_ms > scene.moved_within_ms:
        found.append(f"traffic moved after {verdict.moved_ms / 1000:.1f} s")
    if verdict.longest_ms > scene.moved_within_ms:
        found.append(f"somebody waited {verdict.longest_ms / 1000:.1f} s")
    if verdict.refused is not None and (not verdict.refused or verdict.refused_p99_ms > NOTHING_LEFT_MS):
        found.append("no quick refusal")
    if verdict.otherwise:
        found.append(f"{verdict.otherwise:,} times no 503 with nothing left")
    if verdict.held:
        found.append(f"{verdict.held:,} GETs waited until the stopped instance went on")
    for value, limit, what in (
        (verdict.service_ms, scene.service_within_ms, "service"),
        (verdict.first_answer_ms, scene.first_answer_within_ms, "first answer"),
    ):
        if value is not None and limit is not None and value > limit:
            found.append(f"{what} after {value:.0f} ms")
    return found


def split(requests, question):
    """Those for which the answer is yes, and the others."""
    sides = [], []
    for one in requests:
        sides[0 if question(one) else 1].append(one)
    return sides


def took(one):
    """How long a request took."""
    return one["ended_ms"] - one["begun_ms"]


def count(requests, method):
    """How many of them."""
    return sum(one["method"] == method for one in requests)


def by_kind(requests):
    """How many of each."""
    kinds = {}
    for one in requests:
        kinds[one["kind"]] = kinds.get(one["kind"], 0) + 1
    return kinds


def at(values, share):
    """A percentile of sorted values, or None."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else None
