"""The tables of docs/reliability.md."""

BEGIN = "<!-- chaos:begin -->"
END = "<!-- chaos:end -->"

HEAD = [
    "scenario",
    "proxy",
    "requests",
    "failed GET",
    "failed POST",
    "lost with its instance",
    "POST twice",
    "sent again by clients",
    "traffic moved",
    "p99",
    "longest wait",
]
NOTHING_LEFT = [
    "nothing left",
    "503",
    "other failures",
    "told after, p99",
    "longest",
    "service, once the first is back",
]


def milliseconds(value):
    """A time with a unit that suits it."""
    if value is None:
        return "–"
    if value == 0:
        return "at once"
    if value < 10:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def table(head, rows):
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def main_row(title, proxy, verdict):
    """One scenario of one proxy."""
    return [
        title,
        proxy,
        f"{verdict.requests:,}",
        number(verdict.failed_get),
        number(verdict.failed_post),
        f"{verdict.lost:,}",
        number(verdict.twice),
        number(verdict.resent),
        milliseconds(verdict.moved_ms),
        milliseconds(verdict.p99_ms),
        milliseconds(verdict.longest_ms),
    ]


def number(value):
    """Bold where it should be 0 and is not."""
    return f"**{value:,}**" if value else "0"


def section(results, about, notes):
    """What stands between the markers. `results` are a scenario, a proxy and its verdict, in their order."""
    rows, before = [], None
    for scene, proxy, verdict in results:
        rows.append(main_row("" if scene == before else scene, proxy, verdict))
        before = scene
    parts = [about, table(HEAD, rows)]
    left = [
        [
            proxy,
            f"{verdict.refused:,}",
            number(verdict.otherwise),
            milliseconds(verdict.refused_p99_ms),
            milliseconds(verdict.refused_max_ms),
            milliseconds(verdict.service_ms),
        ]
        for _, proxy, verdict in results
        if verdict.refused is not None
    ]
    if left:
        parts.append(table(NOTHING_LEFT, left))
    for _, _, verdict in results:
        if verdict.first_answer_ms is not None:
            first = milliseconds(verdict.first_answer_ms)
            parts.append(f"Balancer started while the registry is away: first answer {first} after the start.")
    return "\n\n".join([*parts, *notes])


def replace_section(text, section_text):
    """A document with another section between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section_text}\n\n{END}{after}"
