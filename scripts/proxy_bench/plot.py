"""The plot of docs/benchmarks.svg: CPU time per request as a ratio to HAProxy, a bar for each other proxy and workload.

Its colours are of middle lightness and it has no background, so that it reads on a light page and on a dark one."""

from xml.sax.saxutils import escape

from report import BASE

COLOURS = {
    "balancer": "#d9622b",
    "nginx": "#2f9e44",
    "envoy": "#a04fc9",
    "traefik": "#1c8fc4",
    "caddy": "#b08800",
}
TEXT = "#737b85"
WIDTH, LEFT, RIGHT, TOP = 760, 210, 70, 60
BAR, GAP = 13, 14
# Longer bars are cut off there, with an arrow at their number.
MOST = 4.0


def draw(results, workloads, peers):
    """The SVG, or None if there is no ratio to draw."""
    groups = []
    for workload in workloads:
        ratios = [(peer, results.ratio(workload.name, peer.name, "cpu")) for peer in peers if peer.name != BASE]
        ratios = [(peer, ratio) for peer, ratio in ratios if ratio is not None]
        if ratios:
            groups.append((workload, ratios))
    if not groups:
        return None
    longest = max(ratio for _, ratios in groups for _, ratio in ratios)
    shown = min(max(longest, 1.0), MOST) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / shown
    parts, y = [], TOP
    for workload, ratios in groups:
        middle = y + BAR * len(ratios) / 2 + 4
        parts.append(text(LEFT - 10, middle, workload.title, "end"))
        for peer, ratio in ratios:
            parts.append(bar(y, ratio, min(ratio, shown) * scale, COLOURS.get(peer.name, TEXT), ratio > shown))
            y += BAR
        y += GAP
    one = LEFT + scale
    ends = f'x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{y - GAP + 4}"'
    line = f'<line {ends} stroke="{TEXT}" stroke-dasharray="3 3"/>'
    height = y + 4
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'role="img" font-family="system-ui, sans-serif" font-size="12">',
            "<title>CPU time per request as a ratio to HAProxy; shorter is better</title>",
            text(LEFT, 16, "CPU time per request, as a ratio to HAProxy (dashed); shorter is better", "start"),
            legend([peer for peer in peers if any(peer == drawn for _, ratios in groups for drawn, _ in ratios)]),
            *parts,
            line,
            "</svg>\n",
        ]
    )


def bar(y, ratio, length, colour, cut):
    """A bar and its number."""
    rectangle = f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>'
    return rectangle + text(WIDTH - 10, y + BAR - 3, ("→ " if cut else "") + f"{ratio:.2f}", "end", 11)


def text(x, y, content, anchor, size=12):
    """A line of text."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{TEXT}">{escape(content)}</text>'


def legend(peers):
    """A square and a name for each proxy."""
    parts, x = [], LEFT
    for peer in peers:
        colour = COLOURS.get(peer.name, TEXT)
        parts.append(f'<rect x="{x}" y="26" width="10" height="10" fill="{colour}"/>')
        parts.append(text(x + 15, 35, peer.title, "start"))
        x += 34 + 7 * len(peer.title)
    return "".join(parts)
