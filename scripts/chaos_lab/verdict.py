"""What a record says: which failures had to be, which must not, and how long anybody was held up.

Nothing here measures."""

import dataclasses

from record import Death

# A request that waited longer than it asked for was held up by what happened.
HELD_UP_MS = 250
# And one that waited so long was not held up by the machine.
HELD_MS = 1000
# What a death ends has ended so soon after it; who waits longer waited for something else.
SOON_MS = 1000
# One that begins so shortly before an event would have its answer before it, were it not for the event.
JUST_BEFORE_MS = 50
# After all instances were gone and one is back, requests may fail for so long before it counts.
BACK_WITHIN_MS = 2000
NOTHING_LEFT_MS = 50
# How many instances get a request before it is given up.
TRIES = 3


@dataclasses.dataclass
class Verdict:
    """The figures of one scenario. Those that do not apply are None."""

    requests: int
    failed_get: int
    failed_post: int
    # POSTs that a killed instance had got, answers that one had begun, GETs that each of their instances took along.
    lost: int
    # POSTs that more than one instance got.
    twice: int
    # GETs whose kept connection was closed under them, and that their clients sent again.
    resent: int
    # GETs that were kept waiting until a stopped instance went on.
    held: int
    # From an event until the last request that failed or was held up by it had its end.
    moved_ms: float | None
    p99_ms: float | None
    # Beyond what was asked for; of GETs, and of POSTs that did not have to wait for the one instance that had them.
    longest_ms: float
    # With no instance left: how many requests got a 503, how many of the whole outage something that they must not, how
    # fast they were told, and how soon the first instance that came back had its requests.
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
        return not (self.failed or self.twice or self.resent or self.held or self.otherwise)


def judge(record):
    """The figures of a record."""
    unserved, served = split(record.failed, lambda one: any(within(one, outage) for outage in record.outages))
    lost, failed = split(served, lambda one: had_to_be(one, record))
    # With nobody left from the first moment on.
    refused, _ = split(unserved, lambda one: any(o.dead_ms <= one["begun_ms"] < o.back_ms for o in record.outages))
    refused_ms = sorted(map(took, refused))
    _, waited = split(served + record.slow, lambda one: is_held_by_stopped(one, record))
    _, troubled = split(failed + record.slow, lambda one: is_held_by_stopped(one, record))
    return Verdict(
        requests=record.sum["ok"] + record.sum["failed"],
        failed_get=count(failed, "GET"),
        failed_post=count(failed, "POST"),
        lost=len(lost),
        twice=sum(len(names) > 1 for names in record.notes.values()),
        resent=record.sum["resent"],
        held=sum(is_held(one, record) for one in record.slow + served),
        moved_ms=None if record.outages or not record.marks else moved(troubled, record),
        p99_ms=record.sum["all"]["p99_ms"],
        longest_ms=max([record.sum["get"]["max_ms"] or 0, *(wait(one, record) for one in waited)]),
        refused=sum(one["kind"] == "status-503" for one in refused) if record.outages else None,
        otherwise=sum(not is_refusal(one, record) for one in unserved),
        refused_p99_ms=at(refused_ms, 0.99),
        refused_max_ms=at(refused_ms, 1),
        service_ms=service(record),
        first_answer_ms=max(record.first_answers_ms, default=None),
        lag_ms=record.sum["lag_ms"],
        kinds=by_kind(failed) | {f"unserved {kind}": n for kind, n in by_kind(unserved).items()},
    )


def within(one, outage):
    """Whether there was nobody who could have answered, or only just."""
    return one["ended_ms"] >= outage.begun_ms and one["begun_ms"] <= outage.back_ms + BACK_WITHIN_MS


def is_refusal(one, record):
    """Whether a failure of an outage is one that may be: a 503, or what the deaths have cut off."""
    if one["kind"] == "status-503":
        return True
    may_be = one["kind"] in (*record.lost_as, "broken")
    return may_be and any(is_cut_off(one, outage.begun_ms, outage.dead_ms) for outage in record.outages)


def is_cut_off(one, asked_ms, dead_ms):
    """Whether a request was under way at a death, and ended with it."""
    return one["begun_ms"] <= dead_ms and asked_ms <= one["ended_ms"] <= dead_ms + SOON_MS


def had_to_be(one, record):
    """Whether a request was lost with its instance: a POST that it had got, or an answer that it had begun.

    An instance notes a POST once it has read its head. One that nobody noted, but was under way when an instance died,
    lay unread in the dead one's socket: whoever had sent it could not know better."""
    deaths = [death for death in record.deaths if is_cut_off(one, death.asked_ms, death.dead_ms)]
    if one["kind"] == "broken":
        return bool(deaths)
    if one["kind"] not in record.lost_as:
        return False
    if one["method"] != "POST":
        return bool(deaths) and has_used_its_tries(one, record)
    names = record.notes.get(one["id"], [])
    return any(not names or death.name in names for death in deaths)


def has_used_its_tries(one, record):
    """Whether so many instances died with a GET that asked for time that it is given up. One of them may not have got
    as far as to note it."""
    visits = record.visits.get(one["id"], [])
    deaths = sum(one["begun_ms"] <= death.dead_ms and death.asked_ms <= one["ended_ms"] for death in record.deaths)
    have_ended = all(end_of_visit(one, visit, record) is not None for visit in visits)
    return have_ended and len(visits) >= TRIES - 1 and deaths >= TRIES


def end_of_visit(one, visit, record):
    """When the instance that had noted a GET died or stopped during it, or None. Clients may know of a death before us."""
    name, noted_ms = visit
    ends = [(death.asked_ms, death.dead_ms) for death in record.deaths if death.name == name]
    ends += [(stop.begun_ms, stop.stood_ms) for stop in record.stops if stop.name == name]
    return min(
        (min(until, one["ended_ms"]) for since, until in ends if noted_ms <= until and since <= one["ended_ms"]),
        default=None,
    )


def is_held_by_stopped(one, record):
    """Whether a POST waited for a stopped instance that had got it, and had to."""
    names = record.notes.get(one["id"], [])
    return (
        one["method"] == "POST"
        and len(names) == 1
        and any(
            names[0] == stop.name and one["begun_ms"] <= stop.went_on_ms and stop.begun_ms <= one["ended_ms"]
            for stop in record.stops
        )
    )


def is_held(one, record):
    """Whether a GET had to wait until a stopped instance went on."""
    return one["method"] == "GET" and any(
        until - since >= HELD_MS and since < stop.went_on_ms <= until
        for since, until in gaps(one, record)
        for stop in record.stops
    )


def gaps(one, record):
    """The times in which nobody worked for a request, as pairs.

    That is all of it, but for GETs that asked for time: what they asked for is no wait, nor is what an instance had done
    for them when it died or stopped. What one that lives had done and is not waited for is a wait."""
    found, since = [], one["begun_ms"]
    visits = [(visit, end_of_visit(one, visit, record)) for visit in record.visits.get(one["id"], [])]
    # A stopped instance notes what lay in its sockets when it goes on: nobody waits for that any more.
    visits = [
        (noted_ms, end)
        for (_, noted_ms), end in visits
        if end is not None or noted_ms + one["asked_ms"] <= one["ended_ms"] + JUST_BEFORE_MS
    ]
    for number, (noted_ms, end) in enumerate(sorted(visits, key=lambda visit: visit[0])):
        if end is None and number + 1 < len(visits):
            continue
        found.append((since, noted_ms))
        done = noted_ms + one["asked_ms"]
        since = min(done, one["ended_ms"], done if end is None else end)
    return [*found, (since, one["ended_ms"])]


def wait(one, record):
    """How long in all nobody worked for a request."""
    return sum(until - since for since, until in gaps(one, record))


def moved(troubled, record):
    """How long after an event a request still failed or was held up; the longest of all events. What a request met with
    began before it, or just after: what happened while it was already in trouble is not to blame."""
    most = 0.0
    for one in troubled:
        found = gaps(one, record)
        for since, until in found[-1:] if one["kind"] else found:
            marks = [mark for mark in record.marks if mark <= since + JUST_BEFORE_MS]
            if marks and (one["kind"] or until - since >= HELD_UP_MS):
                most = max(most, until - marks[-1])
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
    if verdict.resent:
        found.append(f"{verdict.resent:,} GETs lost their connection, and were sent again by their clients")
    if verdict.moved_ms is not None and verdict.moved_ms > scene.moved_within_ms:
        found.append(f"traffic moved after {verdict.moved_ms / 1000:.1f} s")
    if verdict.longest_ms > scene.moved_within_ms:
        found.append(f"somebody waited {verdict.longest_ms / 1000:.1f} s")
    if verdict.refused is not None and (not verdict.refused or verdict.refused_p99_ms > NOTHING_LEFT_MS):
        found.append("no quick refusal")
    if verdict.otherwise:
        found.append(f"{verdict.otherwise:,} times no 503 while all were gone")
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
