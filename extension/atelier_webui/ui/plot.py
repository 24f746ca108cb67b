"""A plot of the loss: lines of an SVG in the theme's own colours, and the same in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from atelier_webui.contract.api.trainings import Metric

WIDE, HIGH = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 28
SMOOTH = 0.9
"""How much of the mean before a step is in the mean after it, where there are many steps."""


class Point(NamedTuple):
    """The loss at a step."""

    step: int
    loss: float


def loss(metrics: Sequence[Metric]) -> str:
    """Return the plot of a training's loss; nothing before there are two steps."""
    points = [Point(each.step, each.loss) for each in metrics if math.isfinite(each.loss)]
    if len(points) < 2:
        return ""
    smooth = list(_smoothed(points))
    low, high = min(each.loss for each in points), max(each.loss for each in points)
    told = (
        f"Loss: {_number(smooth[0].loss)} at step {smooth[0].step}, "
        f"{_number(smooth[-1].loss)} at step {smooth[-1].step}, smoothed"
    )
    frame = _Frame(points[0].step, points[-1].step, low, high if high > low else low + 1e-9)
    lines = (
        f'<polyline class="atelier-each" points="{frame.line(points)}"/>'
        f'<polyline class="atelier-mean" points="{frame.line(smooth)}"/>'
    )
    picture = f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{told}">{frame.axes()}{lines}</svg>'
    return f'<figure class="atelier-plot">{picture}<figcaption>{told}</figcaption></figure>'


def _smoothed(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the mean up to each step, of which the last ones count most."""
    weight = min(SMOOTH, 1 - 2 / (len(points) + 1))
    mean, whole = 0.0, 0.0
    for step, value in points:
        mean, whole = weight * mean + (1 - weight) * value, weight * whole + 1 - weight
        yield Point(step, mean / whole)


class _Frame(NamedTuple):
    """Where the steps and losses lie in the picture."""

    first: int
    last: int
    low: float
    high: float

    def line(self, points: Sequence[Point]) -> str:
        """Return the corners of a line."""
        return " ".join(f"{self._x(each.step):.1f},{self._y(each.loss):.1f}" for each in points)

    def axes(self) -> str:
        """Return lines with numbers: the lowest, middle and highest loss, the first and last step."""
        rows = (self.low, (self.low + self.high) / 2, self.high)
        lines = "".join(
            f'<line x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{self._y(each):.1f}" y2="{self._y(each):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{self._y(each) + 4:.1f}" text-anchor="end">{_number(each)}</text>'
            for each in rows
        )
        ends = ((self.first, "start"), (self.last, "end"))
        return lines + "".join(
            f'<text x="{self._x(step):.1f}" y="{HIGH - 8}" text-anchor="{anchor}">step {step}</text>'
            for step, anchor in ends
        )

    def _x(self, step: int) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * (step - self.first) / max(self.last - self.first, 1)

    def _y(self, value: float) -> float:
        return TOP + (HIGH - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)


def _number(value: float) -> str:
    return f"{value:.3g}"
