"""The largest stable learning rates as rows for people, and the divergence map as a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields

from study.analysis.edge import ArmEdge, Estimate, brief, interval_text
from study.analysis.intervals import wilson
from study.analysis.tables import csv_cell
from study.analysis.wording import number

# Bins of the map, a decade: each about 1.8 times as high as it is low.
BINS = 4
HEADER = ("arm", "unstable", "lr50 [95 %]", "lr05 [95 %]", "by curvature")


@dataclass(frozen=True)
class Bin:
    """An arm's probes with ``lr_low`` <= lr < ``lr_high``: how many there were and what share of them was
    not stable, with its 95 % Wilson interval."""

    arm: str
    lr_low: float
    lr_high: float
    n: int
    diverged: int
    stalled: int
    share: float
    share_low: float
    share_high: float


def edge_rows(found: Iterable[ArmEdge]) -> tuple[tuple[str, ...], ...]:
    """One row an arm under HEADER. Where there is no edge, the row says what is known instead."""
    return tuple(
        (
            each.arm,
            _unstable(each),
            each.text,
            interval_text(each.lr05) if each.found else number(None),
            _prediction(each.predicted),
        )
        for each in found
    )


def divergence_map(found: Iterable[ArmEdge]) -> Iterator[Bin]:
    """What share of each arm's probes was not stable, by learning rate; bins without a probe are left out."""
    for each in found:
        # Rounded first: log10 of a bin's own end must not fall below it.
        places = [math.floor(round(BINS * math.log10(probe.lr), 9)) for probe in each.probes]
        for place in sorted(set(places)):
            inside = [probe for probe, at in zip(each.probes, places, strict=True) if at == place]
            bad = sum(probe.unstable for probe in inside)
            yield Bin(
                each.arm,
                10 ** (place / BINS),
                10 ** ((place + 1) / BINS),
                len(inside),
                sum(probe.status == "diverged" for probe in inside),
                sum(probe.status == "stalled" for probe in inside),
                bad / len(inside),
                *wilson(bad, len(inside)),
            )


def divergence_map_csv(found: Iterable[ArmEdge]) -> str:
    """The map with all digits, one line a bin."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(each.name for each in fields(Bin))
    for each in divergence_map(found):
        writer.writerow([csv_cell(value) for value in astuple(each)])
    return lines.getvalue()


def _unstable(each: ArmEdge) -> str:
    stalled = each.count("stalled")
    share = f"{each.count('diverged') + stalled} of {each.n}"
    return f"{share} ({stalled} stalled)" if stalled else share


def _prediction(predicted: Estimate | None) -> str:
    if predicted is None or predicted.value is None:
        return number(None)
    return interval_text(predicted) if predicted.low is not None else brief(predicted.value)
