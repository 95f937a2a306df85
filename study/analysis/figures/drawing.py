"""What the figures share: two themes, colours for the colour-blind, text that is safe to draw, PNG."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from study.errors import one_line
from study.spec import StudySpec
from study.trial import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One column of a paper (88 mm), in inches; at this width a text of 7 points is still read with ease.
COLUMN = 3.5
DPI = 250
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")
LONGEST_NAME = 28

# Ticks of a logarithmic axis in each power of ten, by the most powers of ten that it spans.
TICKS = ((1.0, (1.0, 2.0, 3.0, 5.0, 7.0)), (2.0, (1.0, 2.0, 5.0)), (math.inf, (1.0,)))

# More than these make a figure unreadable; the rest stands in the report's tables.
MOST_ROWS = 30
MOST_COLOURS = 7


@dataclass(frozen=True)
class Theme:
    """``arms`` are colours of Okabe and Ito (2008, Color Universal Design), those that stand out
    from ``paper``; ``verdicts`` are of the same set."""

    name: str
    paper: str
    ink: str
    faint: str
    arms: tuple[str, ...]
    verdicts: dict[Status, str] = field(hash=False)


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1b1f24",
    faint="#c9ced6",
    arms=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1b1f24"),
    verdicts={
        "ok": "#009e73",
        "pruned": "#56b4e9",
        "diverged": "#d55e00",
        "stalled": "#e69f00",
        "failed": "#1b1f24",
    },
)
DARK = Theme(
    name="dark",
    paper="#15181d",
    ink="#e6e9ee",
    faint="#454c57",
    arms=("#56b4e9", "#e8752a", "#1fbf92", "#dd92bb", "#f0b62e", "#f0e442", "#e6e9ee"),
    verdicts={
        "ok": "#1fbf92",
        "pruned": "#56b4e9",
        "diverged": "#e8752a",
        "stalled": "#f0b62e",
        "failed": "#e6e9ee",
    },
)
THEMES = (LIGHT, DARK)


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and a caption that names n and what the intervals are."""

    figure: Figure
    title: str
    caption: str


def new_figure(height: float, theme: Theme, **axes: Any) -> tuple[Figure, Any]:
    """A figure of one column's width and its axes (as Figure.subplots gives them), themed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN, height), dpi=DPI, facecolor=theme.paper, layout="constrained")
    return figure, figure.subplots(**axes)


def dress(axes: Axes, theme: Theme, grid: str = "both") -> None:
    """Thin lines, small text, and nothing that is not needed."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.ink, labelsize=7, width=0.6, length=2.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.ink)
        spine.set_linewidth(0.6)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(theme.ink)
        label.set_fontsize(7.5)
    axes.set_axisbelow(True)
    if grid in ("both", "x", "y"):
        axes.grid(visible=True, axis=grid, color=theme.faint, linewidth=0.4)  # type: ignore[arg-type]


def names_on_y(axes: Axes, names: Sequence[str]) -> None:
    """The names as the y axis's categories, first one on top."""
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def plain_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis as plain numbers: 0.001, 1e-05, 2,000; between the powers of ten too where
    there are few of them. To be called when everything is drawn that sets the axis's ends."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    between = next(marks for most, marks in TICKS if decades <= most)
    axis.set_major_locator(LogLocator(base=10, subs=between, numticks=8 if decades > 1 else 12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain_number(value)))
    axis.set_minor_formatter(NullFormatter())


def few_ticks(axis: Any) -> None:
    """So few that their labels stand apart beside the longest names."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=4))


def spans_decades(numbers: Iterable[float]) -> bool:
    """Whether positive numbers lie so far apart that a linear axis would flatten most of them."""
    known = list(numbers)
    return len(known) > 1 and min(known) > 0 and max(known) > 30 * min(known)


def arm_style(spec: StudySpec, arm: str, theme: Theme) -> dict[str, Any]:
    """An arm's colour, marker and dash: by its place in the study, so the same in every figure."""
    place = [each.name for each in spec.arms()].index(arm)
    colour = theme.arms[place % len(theme.arms)]
    dash = DASHES[place // len(theme.arms) % len(DASHES)]
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)], "linestyle": dash}


def legend_below(figure: Figure, theme: Theme, handles: Sequence[Any], most_columns: int = 3) -> None:
    """A legend under the axes, in as many columns as its longest name leaves room for. The figure
    grows by as much, so that the axes keep their height."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    # About 60 letters of this size fit beside each other; a handle and its gaps take 7.
    columns = max(1, min(most_columns, len(handles), 60 // (longest + 7)))
    figure.set_figheight(figure.get_figheight() + 0.1 + 0.15 * math.ceil(len(handles) / columns))
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns,
        fontsize=7,
        frameon=False,
        labelcolor=theme.ink,
        handlelength=1.8,
        columnspacing=1.2,
    )


def plain(name: str) -> str:
    """A name as figures can show it: one line, not too long, no mathematics ($), and a box for what
    the font does not have (matplotlib would warn and draw one)."""
    text = one_line(name)
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    known = _drawable()
    return "".join(c if ord(c) in known else "\N{WHITE SQUARE}" for c in text).replace("$", r"\$")


def readable_on(colour: str) -> str:
    """The colour of text upon ``colour``: black or white, whichever has the better contrast (WCAG 2.2,
    relative luminance)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def left_out(there: int, shown: int) -> str:
    """The end of a caption where a figure shows only some of the arms."""
    return f" The first {shown} of {there} arms in the ranking's order." if there > shown else ""


def _plain_number(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= value < 1e6 else f"{value:g}"


@functools.cache
def _drawable() -> frozenset[int]:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return frozenset(font.get_charmap())


def width_styles(widths: Sequence[float], theme: Theme) -> dict[float, dict[str, Any]]:
    """A colour and a marker for each width, narrowest first."""
    ordered = enumerate(sorted(set(widths)))
    return {
        width: {"color": theme.arms[at % len(theme.arms)], "marker": MARKERS[at % len(MARKERS)]}
        for at, width in ordered
    }


def svg(figure: Figure) -> bytes:
    """The figure as an SVG, its text as outlines, so that it looks the same everywhere; equal figures give
    equal bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "study", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as a PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
