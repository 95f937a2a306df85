"""What a colleague reads first in MLflow's UI: a study's description, and views with the columns that matter.

A view is MLflow's own "saved view": an experiment tag that the UI lists, and that a link can name.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.claims import Claim
from study.record import StudyRecord
from study.spec import StudySpec
from study.tracking.words import MAX_NOTE, cut
from study.trial import STATUSES

State = dict[str, object]

# Opens MLflow's pages for training instead of those for language models.
CLASSIC = "workflowType=machine_learning"

VIEW_TAG = "mlflow.sharedViewState."
SECTION = "study-metrics"
NAME_COLUMN = "attributes.`Run Name`"


def experiment_tags(record: StudyRecord, experiment_id: str, created_ms: int) -> dict[str, str]:
    """The tags of the study's experiment; description and views speak of this record."""
    shown = views(record).items()
    return {
        "study": record.name,
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": cut(description(record, experiment_id), MAX_NOTE),
        # The UI lists the youngest first.
        **{
            f"{VIEW_TAG}{key}": envelope(name, created_ms - age, state)
            for age, (key, (name, state)) in enumerate(shown)
        },
    }


def experiments_page(address: str) -> str:
    """The list of all studies, at a server's address."""
    return f"{address.rstrip('/')}/#/experiments?{CLASSIC}"


def view_page(address: str, experiment_id: str, view: str, charts: bool = False) -> str:
    """One view of one study, as a table or as charts, at a server's address; an empty address gives a link
    within the UI."""
    start = f"{address.rstrip('/')}/" if address else ""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"{start}#/experiments/{experiment_id}/runs?viewStateShareKey={view}{mode}&{CLASSIC}"


def question_pages(address: str, experiment_id: str) -> dict[str, str]:
    """The questions that people ask of a study, each with the page that answers it."""
    return {
        question: view_page(address, experiment_id, view, charts)
        for question, (view, charts) in QUESTIONS.items()
    }


def views(record: StudyRecord) -> dict[str, tuple[str, State]]:
    """The views, by their key in links, each with its name."""
    return {
        "trials": (f"Trials ({record.digest})", trials_view(record)),
        "replicates": (f"Replicates ({record.digest})", replicates_view(record)),
        "arms": (f"Arms ({record.digest})", arms_view(record)),
        "diverged": (f"Diverged ({record.digest})", diverged_view(record)),
        "records": ("All records", records_view()),
    }


def description(record: StudyRecord, experiment_id: str) -> str:
    """The experiment's description, in Markdown; its first line stands alone in lists."""
    spec = record.spec
    links = [f"[{name}]({view_page('', experiment_id, key)})" for key, (name, _) in views(record).items()]
    parts = [
        spec.question,
        spec.description,
        f"**Views:** {' · '.join(links)}",
        HOW_TO_READ.format(metric=spec.objective.metric, direction=spec.objective.direction),
        claims_text(spec),
    ]
    return "\n\n".join(filter(None, parts))


@dataclass(frozen=True)
class Reported:
    """The ranking's lines and the claims' of a record's last report, by their files' columns; none before the
    first."""

    ranking: tuple[dict[str, str], ...]
    claims: tuple[dict[str, str], ...]


def reported(record: StudyRecord) -> Reported:
    return Reported(*(tuple(table(record, name)) for name in ("ranking.csv", "claims.csv")))


def table(record: StudyRecord, name: str) -> list[dict[str, str]]:
    path = record.folder / name
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def verdict_counts(claims: Sequence[Mapping[str, str]]) -> str:
    """``2 reproduced, 1 undecided``."""
    counted = Counter(each["verdict"] for each in claims)
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(counted.items()))


def ranking_text(lines: Sequence[Mapping[str, str]]) -> str:
    """The ranking as a table in Markdown; nothing without replicates."""
    ranked = [line for line in lines if line["mean"]]
    if not ranked:
        return ""
    rows = [
        f"| # | arm | {ranked[0]['metric']}, mean [95 %] | n | diverged |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line in ranked:
        mean, low, high = (short(line[key]) for key in ("mean", "low", "high"))
        within = f" [{low}, {high}]" if low else ""
        rows.append(f"| {line['rank']} | {line['arm']} | {mean}{within} | {line['n']} | {line['diverged']} |")
    return "\n".join(rows)


def short(number: str) -> str:
    return f"{float(number):.4g}" if number else ""


def study_note(record: StudyRecord, experiment_id: str, told: Reported) -> str:
    """The description of the study's own run: ranking, claims' verdicts, and a link for each question."""
    trials = f"`tags.digest = '{record.digest}' AND tags.phase = 'tune'` (or `'confirm'`)"
    lines = [
        f"**{record.spec.question}**",
        ranking_text(told.ranking),
        "\n".join(f"- **{each['verdict']}** {each['claim']} ({each['source']})" for each in told.claims),
        "\n".join(f"- [{question}]({page})" for question, page in question_pages("", experiment_id).items()),
        (
            "The study's own run; its arms stand under it, and their trials under them. Its parameters are "
            "held, or compared (several values), or tuned (a range). To list the trials flat, filter by "
            f"{trials}."
        ),
        (
            "Under Artifacts: the report, the ranking and the claims as tables, and in `record/` the "
            "resolved study file and each start's environment."
        ),
    ]
    return cut("\n\n".join(filter(None, lines)), MAX_NOTE)


HOW_TO_READ = """\
**How to read it.** Each record (the study as it was run, NAME@DIGEST) is a run; under it stands a run for \
each arm, and under that the arm's trials.

- Tag `phase`: `tune` trials search, and {metric} judges them ({direction}); `confirm` replicates retrain \
each arm's best with fresh seeds and are scored on the test split. Compare arms by the replicates alone, as \
the report does.
- Tag `verdict`: how a trial ended. `diverged` is a result, not a crash; `failed` is broken code or a broken \
machine.
- Tag `arm`: what is compared. Parameters are written component.argument."""


def claims_text(spec: StudySpec) -> str:
    if not spec.claims:
        return "It tests no published claim."
    return "**Claims tested**\n\n" + "\n".join(f"- {claim_text(claim)}" for claim in spec.claims)


def claim_text(claim: Claim) -> str:
    return f"{claim} ({claim.source})"


# -- views -------------------------------------------------------------------------------------------


def trials_view(record: StudyRecord) -> State:
    """The search's trials, best first: arm, verdict, objective, and what was tuned."""
    spec = record.spec
    judged, tuned = column("metrics", spec.objective.metric), tuned_keys(spec)
    columns = [column("tags", "arm"), column("tags", "verdict"), judged]
    columns += [*(column("params", key) for key in tuned), column("tags", "verdict.reason")]
    curves = [
        spec.objective.metric,
        "val_loss",
        "train_eval_loss",
        "train_eval_accuracy",
        "lr",
        "gradient_norm",
    ]
    charts = [parallel_chart(tuned, spec.objective.metric), *map(line_chart, dict.fromkeys(curves))]
    if LEARNING_RATE in tuned:
        charts.insert(0, scatter_chart(LEARNING_RATE, spec.objective.metric))
    return view(of(record, "tune"), judged, spec.objective.direction == "minimize", columns, charts)


def replicates_view(record: StudyRecord) -> State:
    """The replicates, by arm: verdict, test and validation metrics, seed."""
    metrics = ("test_accuracy", "test_loss", "val_accuracy", "val_loss")
    by_arm = column("tags", "arm")
    columns = [
        by_arm,
        column("tags", "verdict"),
        *(column("metrics", name) for name in metrics),
        column("tags", "seed"),
    ]
    charts = [*map(bar_chart, metrics[:2]), *map(line_chart, metrics[2:])]
    return view(of(record, "confirm"), by_arm, True, columns, charts)


def arms_view(record: StudyRecord) -> State:
    """The replicates' means by arm, over those that have the metric; the report counts the others too."""
    keys = [{"mode": "tag", "groupByData": "arm"}]
    return {**replicates_view(record), "groupBy": {"aggregateFunction": "average", "groupByKeys": keys}}


def diverged_view(record: StudyRecord) -> State:
    """The trials that diverged, tuned or confirmed: how, when and at which settings."""
    names = ("arm", "phase", "verdict.kind", "verdict.step", "verdict.reason")
    columns = [
        *(column("tags", name) for name in names),
        *(column("params", key) for key in tuned_keys(record.spec)),
    ]
    search = f"tags.digest = '{record.digest}' AND tags.verdict = 'diverged'"
    return view(search, column("tags", "arm"), True, columns, [])


def records_view() -> State:
    """The studies' own runs: how far each is, and how its trials ended."""
    names = ("digest", "progress", "claims", "objective", "environment.host")
    columns = [column("tags", name) for name in names]
    columns += [column("metrics", f"trials.{status}") for status in STATUSES]
    return view("tags.phase = 'study'", "attributes.start_time", False, columns, [])


def of(record: StudyRecord, phase: str) -> str:
    return f"tags.digest = '{record.digest}' AND tags.phase = '{phase}'"


def view(search: str, order: str, ascending: bool, columns: list[str], charts: list[State]) -> State:
    """A view's state as the UI stores one (MLflow's ExperimentPageUIState.tsx)."""
    sections = [{"uuid": SECTION, "name": "Model metrics", "display": True, "isReordered": True}]
    return {
        "searchFilter": search,
        "orderByKey": order,
        "orderByAsc": ascending,
        "selectedColumns": columns,
        "columnOrder": [NAME_COLUMN, *columns, "runDateAndNestInfo", "duration"],
        "columnWidths": {NAME_COLUMN: 190, **{name: width(name) for name in columns}},
        "runsHiddenMode": "FIRST_20_RUNS",
        "hideEmptyCharts": True,
        **({"compareRunCharts": charts, "compareRunSections": sections} if charts else {}),
    }


def envelope(name: str, created_ms: int, state: State) -> str:
    """A view with its name, as the UI stores it in a tag (MLflow's savedViewEnvelope.ts)."""
    return json.dumps({"name": name, "createdAt": created_ms, "state": json.dumps(state)})


def line_chart(metric: str) -> State:
    return chart("LINE", metric, metricKey=metric, selectedMetricKeys=[metric])


def bar_chart(metric: str) -> State:
    return chart("BAR", metric, metricKey=metric)


def scatter_chart(param: str, metric: str) -> State:
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return {**chart("SCATTER", "scatter", **axes), "runsCountToCompare": MOST_POINTS}


def parallel_chart(params: list[str], metric: str) -> State:
    return chart("PARALLEL", "parallel", selectedParams=params, selectedMetrics=[metric], showAllRuns=True)


def chart(kind: str, uuid: str, **settings: object) -> State:
    """A chart as the UI stores one (MLflow's runs-charts.types.ts)."""
    common = {"type": kind, "uuid": uuid, "metricSectionId": SECTION, "deleted": False, "isGenerated": False}
    return {**common, "runsCountToCompare": 20, **settings}


def width(name: str) -> int:
    """Of a column, in pixels."""
    wide = {
        "tags.`verdict.reason`": 260,
        "tags.`objective`": 190,
        "tags.`progress`": 150,
        "tags.`claims`": 190,
    }
    return wide.get(name, 100 if "trials." in name else 120 if name.startswith("tags") else 150)


def column(kind: str, key: str) -> str:
    """A column's name in the UI: ``params.`optimizer.lr```."""
    return f"{kind}.`{key}`"


def tuned_keys(spec: StudySpec) -> list[str]:
    return list(dict.fromkeys(key for arm in spec.arms() for key in arm.space.keys))


LEARNING_RATE = "optimizer.lr"

# How many runs a scatter chart shows, as the UI's own do.
MOST_POINTS = 100

# Each with its view, and whether its charts answer it or its table.
QUESTIONS: dict[str, tuple[str, bool]] = {
    "What did the search try, best first?": ("trials", False),
    "Learning rate against the objective, and parallel coordinates": ("trials", True),
    "Which curves do the arms have?": ("arms", True),
    "What did each replicate score, and with which seed?": ("replicates", False),
    "What diverged, when, and at which settings?": ("diverged", False),
}
