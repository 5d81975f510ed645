"""Draws lines into panels beside each other, as SVG and by nothing but text."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP, BELOW, KEY_LINE = 300, 220, 52, 34, 40, 15
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8a5a9e", "#b08900", "#444444", "#2aa198", "#d33682", "#7a5230", "#6c71c4")


@dataclass
class Panel:
    title: str
    lines: dict  # name to [(x, y), …]
    is_log: bool = False  # of y; x always is


def panels(drawn):
    """All of them, in one picture."""
    rows = max(len(panel.lines) for panel in drawn)
    width, height = len(drawn) * (WIDTH + LEFT + 20), TOP + HEIGHT + BELOW + rows * KEY_LINE + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for nth, panel in enumerate(drawn):
        parts.append(f'<g transform="translate({nth * (WIDTH + LEFT + 20) + LEFT},{TOP})">')
        parts += one(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def one(panel):
    points = [point for line in panel.lines.values() for point in line]
    sizes = sorted({x for x, _ in points})
    low, high = math.log10(sizes[0]) - 0.1, math.log10(sizes[-1]) + 0.1
    across = lambda x: (math.log10(x) - low) / (high - low) * WIDTH
    marks, up = scale_of([y for _, y in points], panel.is_log)
    parts = [f'<text x="0" y="-14" font-weight="bold">{panel.title}</text>']
    for mark in marks:
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{up(mark):.1f}" y2="{up(mark):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="-6" y="{up(mark) + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for size in sizes:
        parts.append(f'<text x="{across(size):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{size:,}</text>')
    for nth, (name, line) in enumerate(panel.lines.items()):
        colour, key = COLOURS[nth % len(COLOURS)], HEIGHT + BELOW + nth * KEY_LINE
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        parts.append(f'<rect x="0" y="{key - 8}" width="10" height="10" fill="{colour}"/><text x="16" y="{key + 1}">{name}</text>')
    return parts


def scale_of(values, is_log):
    """Marks of an axis, and from a value to its place."""
    most = max(values)
    if is_log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(most))
        marks = [10.0**power for power in range(first, last + 1)]
        return marks, lambda y: HEIGHT * (1 - (math.log10(y) - first) / max(last - first, 1))
    step = 10 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1, 2) if most / (step * part) <= 6)
    top = math.ceil(most / step) * step
    return [step * nth for nth in range(round(top / step) + 1)], lambda y: HEIGHT * (1 - y / top)
