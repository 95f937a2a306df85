"""A study's numbers as tables for other programs: trials, curves, ranking, pairs, claims, tuning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.analysis import frames
from study.analysis.equivalence import rope_for
from study.analysis.findings import Findings
from study.analysis.intervals import false_discovery
from study.analysis.pairs import pair_table
from study.analysis.tables import csv_cell
from study.analysis.tuning_curves import curve_table, tuning_curves

if TYPE_CHECKING:
    import pandas as pd


def tables(findings: Findings) -> dict[str, pd.DataFrame]:
    """Every table by its name, in TABLES' order. What has no number is NaN; no table is left out, so that a
    script finds the same ones of every study."""
    return {name: build(findings) for name, build in TABLES.items()}


def for_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with text quoted that a spreadsheet would run as a formula; numbers stay numbers."""
    return table.map(csv_cell).rename(columns=csv_cell)


def ranking_table(findings: Findings) -> pd.DataFrame:
    """One row an arm, best first: what `study report --json` has under ``ranking``, with the best settings
    as columns of their own (``best optimizer.lr``)."""
    import pandas as pd

    found = findings.ranking
    rows = []
    for arm in found.to_json():
        best = {f"best {key}": value for key, value in (arm.pop("best") or {}).items()}
        flags = "; ".join(flag["text"] for flag in arm.pop("flags"))
        rows.append({**arm, "metric": found.metric, **best, "flags": flags})
    return pd.json_normalize(rows, sep=" ")


def pairs_table(findings: Findings) -> pd.DataFrame:
    """One row for each two arms; see study.analysis.pairs.pair_table."""
    found = findings.ranking
    ranked = {arm.arm: arm.replicates for arm in found.arms if arm.rank is not None}
    return pair_table(ranked, found.direction, rope_for(found.metric, findings.spec.claims))


def scores_table(findings: Findings) -> pd.DataFrame:
    """One row a seed block, one column an arm: the ranking's metric, a diverged replicate as chance."""
    return findings.ranking.scores.rename_axis("replicate").reset_index()


def claims_table(findings: Findings) -> pd.DataFrame:
    """One row a claim."""
    rows = [claim.to_json() for claim in findings.claims]
    nested = ("links", "order")
    told = [{key: value for key, value in row.items() if key not in nested} for row in rows]
    for row in told:
        row["claimed"], row["observed"] = " > ".join(row["claimed"]), " > ".join(row["observed"])
    return _flat(told, CLAIM)


def links_table(findings: Findings) -> pd.DataFrame:
    """One row a link of a claimed order; ``claim`` is the claim's place in the study file, from 0.
    ``p_bh`` is p after Benjamini and Hochberg's correction over the links of all claims."""
    rows = [
        {"claim": place, "source": claim.claim.source, "metric": claim.claim.metric, **link.to_json()}
        for place, claim in enumerate(findings.claims)
        for link in claim.links
    ]
    corrected = false_discovery([row["p"] for row in rows])
    return _flat([{**row, "p_bh": p} for row, p in zip(rows, corrected, strict=True)], LINK)


def _flat(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Nested values as columns of their own; ``columns`` are those of a table without rows."""
    import pandas as pd

    return pd.json_normalize(rows, sep=" ") if rows else pd.DataFrame(columns=list(columns))


def tuning_table(findings: Findings) -> pd.DataFrame:
    """One row an arm and tuning budget; see study.analysis.tuning_curves.curve_table."""
    return curve_table(tuning_curves(findings.spec, findings.results))


CLAIM = (
    *("claim", "kind", "source", "text", "metric", "margin", "test", "verdict", "reason", "needs"),
    *("claimed", "observed", "tau", "tau_p", "estimate"),
)
LINK = (
    *("claim", "source", "metric", "better", "worse", "verdict", "difference", "low", "high", "interval"),
    *("n", "margin", "p", "p_reversed", "replicates_needed", "p_bh"),
    *("beside interval", "beside low", "beside high"),
    *("p_better n", "p_better share", "p_better low", "p_better high"),
)

TABLES: Mapping[str, Callable[[Findings], pd.DataFrame]] = {
    "trials": lambda findings: frames.trials(findings.results),
    "curves": lambda findings: frames.curves(findings.results),
    "scores": scores_table,
    "ranking": ranking_table,
    "pairs": pairs_table,
    "claims": claims_table,
    "links": links_table,
    "tuning_curves": tuning_table,
}
