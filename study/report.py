"""The report of a study: one self-contained HTML file, a CSV table, figures, and the terminal's table."""

from __future__ import annotations

import base64
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import __version__
from study.analysis import detail_tables, edge_tables, tables
from study.analysis.costs import mixture
from study.analysis.details import details
from study.analysis.findings import Findings, read_findings
from study.analysis.resampling import BCA_LEADS_FROM
from study.analysis.wording import duration, metric_name
from study.errors import RecordError, one_line
from study.record import StudyRecord, write_whole

if TYPE_CHECKING:
    from rich.console import Console

FIGURE_NAMES = (
    *("divergence", "ranking", "critical_difference", "curves", "learning_curves", "tradeoff", "size_map"),
    *("measures", "depth", "splits", "coverage", "spikes"),
    *("tuning", "budget", "verdicts"),
)
DIVERGENCE_MAP = "divergence_map.csv"
CLAIMS = "claims.csv"


@dataclass(frozen=True)
class ReportFiles:
    """Where a report lies. ``figures`` are the PNG files of those that had something to show, by name, each
    with an SVG beside it; the divergence map is there for a study that bisects, the claims for one that has
    any."""

    html: Path
    csv: Path
    figures: Mapping[str, Path]
    divergence_map: Path | None = None
    claims: Path | None = None

    def by_name(self) -> dict[str, str]:
        return {
            self.html.name: str(self.html),
            self.csv.name: str(self.csv),
            **{path.name: str(path) for path in (self.divergence_map, self.claims) if path},
            **{f"figures/{path.name}": str(path) for path in self.figures.values()},
            **{f"figures/{path.stem}.svg": str(path.with_suffix(".svg")) for path in self.figures.values()},
        }


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it: PNG data for light and dark, in base64."""

    name: str
    title: str
    caption: str
    light: str
    dark: str


def write_report(record: StudyRecord) -> ReportFiles:
    """Write report.html, ranking.csv, figures/*.png and *.svg, claims.csv of a study that has claims, and
    divergence_map.csv of one that bisects, into the record's folder, anew.

    Works on an unfinished study too, and says so. Raises RecordError where the journal cannot be
    read or the folder not be written.
    """
    findings = read_findings(record)
    pictures, images = _draw(findings)
    folder = record.folder
    files = ReportFiles(
        folder / "report.html",
        folder / "ranking.csv",
        {name: folder / "figures" / f"{name}.png" for name in images["png"]},
        folder / DIVERGENCE_MAP if findings.edges else None,
        folder / CLAIMS if findings.claims else None,
    )
    try:
        (folder / "figures").mkdir(exist_ok=True)
        for name in FIGURE_NAMES:
            for kind, drawn in images.items():
                path = folder / "figures" / f"{name}.{kind}"
                if name in drawn:
                    _write_bytes(path, drawn[name])
                else:
                    path.unlink(missing_ok=True)  # from an earlier report: it would show what no longer is
        write_whole(files.csv, tables.ranking_csv(findings.ranking))
        if files.divergence_map:
            write_whole(files.divergence_map, edge_tables.divergence_map_csv(findings.edges))
        if files.claims:
            write_whole(files.claims, tables.claims_csv(findings.claims))
        study_file = (folder / "study.toml").read_text(encoding="utf-8")
        write_whole(files.html, page(findings, pictures, study_file))
    except OSError as error:
        raise RecordError(f"{folder}: the report cannot be written: {error.strerror}") from error
    return files


def written_files(record: StudyRecord) -> ReportFiles:
    """The paths of the report that lies in the record's folder, of those files that are there."""
    folder = record.folder
    figures = {name: folder / "figures" / f"{name}.png" for name in FIGURE_NAMES}
    there = {name: path for name, path in figures.items() if path.is_file()}
    map_, claims = (path if path.is_file() else None for path in (folder / DIVERGENCE_MAP, folder / CLAIMS))
    return ReportFiles(folder / "report.html", folder / "ranking.csv", there, map_, claims)


def summary(record: StudyRecord) -> dict[str, Any]:
    """The report for programs: plain JSON types, null where there is no number, never NaN."""
    findings = read_findings(record)
    files = written_files(record).by_name()
    return {
        "study": record.name,
        "digest": record.digest,
        "folder": str(record.folder),
        "question": findings.spec.question,
        "finished": findings.finished,
        "notices": list(findings.notices()),
        "phases": findings.phases(),
        "causes": [cause.to_json() for cause in findings.causes()],
        "metric": findings.ranking.metric,
        "direction": findings.ranking.direction,
        "ranking": findings.ranking.to_json(),
        "edges": [edge.to_json() for edge in findings.edges],
        "early_stopping": findings.early_stopping and findings.early_stopping.to_json(),
        "claims": [claim.to_json() for claim in findings.claims],
        "criterion": findings.criterion().to_json(),
        **details(findings).to_json(),
        "files": {name: path for name, path in files.items() if Path(path).is_file()},
    }


def print_ranking(record: StudyRecord, console: Console | None = None) -> None:
    """Print the ranking, the claims and where the report lies, as wide as the terminal is."""
    from rich.console import Console

    from study.analysis.terminal import cause_block, claim_blocks, edge_block, ranking_block

    console = console or Console()
    findings = read_findings(record)
    ranked = ranking_block(findings, console.width)
    for block in (*ranked, *edge_block(findings), *cause_block(findings), *claim_blocks(findings)):
        console.print(block)
    report = written_files(record).html
    if report.is_file():
        console.print(f"report  {one_line(str(report))}", markup=False, highlight=False, soft_wrap=True)


def page(findings: Findings, pictures: tuple[Picture, ...], study_file: str) -> str:
    """The HTML document. Every text is escaped and freed of control characters; it asks for nothing
    from elsewhere, and its content security policy forbids it to."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("study", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    behind = details(findings)
    return environment.get_template("report.html.j2").render(
        findings=findings,
        spec=findings.spec,
        version=__version__,
        metric=metric_name(findings.ranking.metric),
        objective=metric_name(findings.spec.objective.metric),
        criterion=tables.criterion_text(findings.criterion(), _date),
        answer=tables.answer(findings.ranking),
        table=tables.ranking_table(findings.ranking),
        pictures=pictures,
        tables=tables,
        duration=duration,
        bootstrap_from=BCA_LEADS_FROM,
        edge_header=edge_tables.HEADER,
        edge_rows=edge_tables.edge_rows(findings.edges),
        causes=findings.causes(),
        counts=tables.cause_rows(findings),
        endings=_endings(findings),
        costs=behind.costs,
        mixture=mixture(findings.results),
        pair_rows=detail_tables.pair_rows(behind),
        rope=behind.rope,
        mean_ranks=detail_tables.mean_ranks_text(behind.mean_ranks),
        tuning_rows=detail_tables.tuning_rows(behind),
        importance_note=detail_tables.importance_note(behind),
        overtakings=[detail_tables.overtaking_text(*each) for each in behind.overtakings],
        starts=_starts(findings),
        as_of=_date(findings.as_of),
        study_file=study_file,
    )


def _draw(findings: Findings) -> tuple[tuple[Picture, ...], dict[str, dict[str, bytes]]]:
    """The figures for the page in both themes, and as the files' bytes, by kind and name."""
    from study.analysis.figures import FIGURES
    from study.analysis.figures.drawing import DARK, LIGHT, png, svg

    assert tuple(FIGURES) == FIGURE_NAMES
    pictures: list[Picture] = []
    images: dict[str, dict[str, bytes]] = {"png": {}, "svg": {}}
    for name, draw in FIGURES.items():
        light = draw(findings.spec, findings.results, findings.ranking, LIGHT)
        dark = draw(findings.spec, findings.results, findings.ranking, DARK)
        if light and dark:
            images["png"][name], images["svg"][name] = png(light.figure), svg(light.figure)
            both = (images["png"][name], png(dark.figure))
            encoded = [base64.b64encode(data).decode() for data in both]
            pictures.append(Picture(name, light.title, light.caption, *encoded))
    return tuple(pictures), images


def _endings(findings: Findings) -> list[tuple[str, str, str]]:
    """Trials that did not end ok: id, verdict, reason."""
    return [
        (trial, str(result.verdict), result.verdict.reason)
        for trial, result in findings.results.items()
        if result.verdict.status != "ok"
    ]


def _starts(findings: Findings) -> dict[str, list[str]]:
    """Each command that started the study, with the dates it did."""
    starts: dict[str, list[str]] = {}
    for session in findings.sessions:
        starts.setdefault(_command(session), []).append(_date(session.get("time")))
    return starts


def _command(session: Mapping[str, Any]) -> str:
    """The command as one types it: the program goes by its name, not by where it is installed."""
    program, *arguments = [str(word) for word in session.get("command") or ["study"]]
    name = Path(program).name
    return shlex.join(["python", "-m", "study", *arguments] if name == "__main__.py" else [name, *arguments])


def _date(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _printable(value: Any) -> Any:
    """Text without control characters and direction marks, which could disguise what it says."""
    if type(value) is not str:
        return value
    return "".join(c if c.isprintable() or c in "\n\t\N{NO-BREAK SPACE}" else " " for c in value)


def _write_bytes(path: Path, data: bytes) -> None:
    """As study.record.write_whole: a file appears under its name only when whole."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
