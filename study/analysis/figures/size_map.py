"""Figure: the map of test error over training-set size and width, with the best width of each size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis import sizes
from study.analysis.edge import interval_text
from study.analysis.figures.drawing import Drawing, Theme, dress, new_figure, plain, readable_on
from study.analysis.learning_curves import resamples
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.analysis.sizes import Ridge
from study.analysis.wording import counted, setting
from study.seeding import derive_seed
from study.spec import StudySpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_PANELS = 4


def draw_size_map(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Mean test error of each size and width, a panel a group of other scientific hyperparameters; a box
    around each size's best width, a line over its interval. None for a study without sizes and widths."""
    cells = sizes.grid(spec, results)
    groups = sizes.groups(cells)[:MOST_PANELS]
    if not groups:
        return None
    rows = cells["width"].nunique()
    figure, grid = new_figure(
        (0.55 + 0.24 * rows) * len(groups) + 0.2, theme, nrows=len(groups), squeeze=False
    )
    spread = (float(cells["test_error"].min()), float(cells["test_error"].max()))
    words = []
    for axes, group in zip(grid[:, 0], groups, strict=True):
        mine = cells[cells["group"] == group]
        blocks = int(mine["block"].nunique())
        ridge = sizes.ridge(mine, resamples(blocks, derive_seed("ridge", blocks)))
        _panel(axes, mine, ridge, spread, theme)
        axes.set_title(plain(group), loc="left", fontsize=7.5, color=theme.ink)
        words.append(_ridge_words(group, ridge))
    grid[-1, 0].set_xlabel("training examples N")
    n = sorted(set(cells.groupby(["group", "size", "width"]).size()))
    span = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    caption = (
        f"Mean test error in per cent, n = {span} replicates a cell. Boxes: each size's best width; lines: "
        f"its 95 % interval over resampled replicates. {' '.join(words)}"
    )
    return Drawing(figure, "Test error by data size and width", caption.strip())


def _panel(
    axes: Axes, cells: pd.DataFrame, ridge: Ridge | None, spread: tuple[float, float], theme: Theme
) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    means = sizes.means(cells).T  # widths down, sizes across
    axes.imshow(
        means.to_numpy(np.float64),
        aspect="auto",
        origin="lower",
        cmap="cividis",
        vmin=spread[0],
        vmax=spread[1],
    )
    for (row, column), error in np.ndenumerate(means.to_numpy(np.float64)):
        share = (error - spread[0]) / max(spread[1] - spread[0], 1e-12)
        ink = readable_on(to_hex(colormaps["cividis"](share)))
        axes.text(column, row, f"{100 * error:.1f}", color=ink, ha="center", va="center", fontsize=6)
    axes.set_xticks(range(means.shape[1]), [f"{size:,}" for size in means.columns])
    axes.set_yticks(range(means.shape[0]), [setting(float(width)) for width in means.index])
    axes.set_ylabel("width")
    dress(axes, theme, grid="none")
    axes.tick_params(length=0)
    if ridge:
        columns, rows = np.unique(cells["size"]).tolist(), np.unique(cells["width"]).tolist()
        _mark(axes, columns, rows, ridge, theme)


def _mark(axes: Axes, columns: list[int], rows: list[float], ridge: Ridge, theme: Theme) -> None:
    from matplotlib.patches import Rectangle

    for best in ridge.best:
        column, row = columns.index(best.size), rows.index(best.width)
        box: dict[str, Any] = {"fill": False, "linewidth": 1.4, "edgecolor": theme.verdicts["diverged"]}
        axes.add_patch(Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, **box))
        low, high = best.interval.low, best.interval.high
        if low is not None and high is not None and low < high:
            line: dict[str, Any] = {"color": theme.verdicts["diverged"], "linewidth": 1.4}
            axes.plot([column + 0.4] * 2, [rows.index(low), rows.index(high)], **line)


def _ridge_words(group: str, ridge: Ridge | None) -> str:
    if ridge is None:
        return ""
    name = f"{plain(group)}: best" if group else "Best"
    slope = interval_text(ridge.slope) if ridge.slope.low is not None else f"{ridge.slope.value:.2g} (n = 1)"
    edge = (
        f"; in {counted(ridge.at_edge, 'size')} it is the widest or narrowest tried" if ridge.at_edge else ""
    )
    return f"{name} width ~ N^b with b = {slope}{edge}."
