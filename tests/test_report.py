"""The report of whole, partial and hostile records."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.analysis.findings import read_findings
from study.analysis.ranking import ranking
from study.analysis.tables import ranking_csv
from study.errors import RecordError
from study.record import JournalWriter, StudyRecord
from study.report import print_ranking, summary, write_report
from tests.analysis.planted import (
    by_id,
    claim,
    diverged,
    finished,
    planted_record,
    planted_spec,
    renamed,
    scores,
    simulated,
    trial,
)

LEVELS = {"relu": 0.35, "elu": 0.47, "tanh": 0.30}


class Page(html.parser.HTMLParser):
    """The page as a browser has it: its tags, its text, and what its links and images point to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.pieces: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [
            value or "" for key, value in attrs if key in ("src", "srcset", "href", "action", "data")
        ]
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())


def whole(root: Path) -> StudyRecord:
    spec = planted_spec(*LEVELS, trials=4, replicates=5, claims=[claim("elu", "relu", "tanh")])
    return planted_record(root, spec, simulated(spec, LEVELS))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    record = whole(tmp_path_factory.mktemp("runs"))
    write_report(record)
    return record


@pytest.fixture(scope="module")
def page(reported: StudyRecord) -> Page:
    return Page(reported.folder / "report.html")


def printed(record: StudyRecord, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_ranking(record, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- the files ----------------------------------------------------------------------------------------


def test_the_report_is_html_csv_and_figures(tmp_path: Path) -> None:
    files = write_report(whole(tmp_path))
    figures = ("ranking", "critical_difference", "curves", "tuning", "budget", "verdicts")
    names = [
        "report.html",
        "ranking.csv",
        "claims.csv",
        *(f"figures/{n}.{kind}" for kind in ("png", "svg") for n in figures),
    ]
    assert list(files.by_name()) == names
    assert all(Path(path).stat().st_size > 0 for path in files.by_name().values())


def test_no_half_written_file_is_left(reported: StudyRecord) -> None:
    assert not list(reported.folder.rglob("*.partial"))


def test_the_same_record_gives_the_same_report(tmp_path: Path) -> None:
    record = whole(tmp_path)
    first = write_report(record).html.read_bytes()
    assert write_report(record).html.read_bytes() == first


def test_a_figure_that_shows_what_no_longer_is_goes_away(tmp_path: Path) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    stale = [record.folder / "figures" / name for name in ("curves.png", "curves.svg")]
    stale[0].parent.mkdir()
    for path in stale:
        path.write_bytes(b"old")
    write_report(record)
    assert not any(path.exists() for path in stale)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    (record.folder / "figures").write_text("in the way")
    with pytest.raises(RecordError, match="the report cannot be written"):
        write_report(record)


# -- the page -----------------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_from_elsewhere(page: Page) -> None:
    outside = [each for each in page.targets if not each.startswith(("data:image/png;base64,", "#"))]
    assert outside == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_the_page_has_no_resource_in_its_style(reported: StudyRecord) -> None:
    text = (reported.folder / "report.html").read_text()
    assert not re.search(r"url\(|@import|https?://", text)


def test_the_page_has_a_dark_side(reported: StudyRecord) -> None:
    assert "prefers-color-scheme: dark" in (reported.folder / "report.html").read_text()


def test_every_picture_has_words(page: Page) -> None:
    assert len(page.images) == 6
    assert all(len(image.get("alt") or "") > 20 for image in page.images)


@pytest.mark.parametrize(
    "content",
    [
        "Which arm is best?",
        "elu > relu > tanh by test_accuracy",
        "reproduced",
        "Kendall's τ = 1.00 over 3 arms, exact one-sided p = 0.167",
        "First is elu, test accuracy",
        "5 pairs, p < 0.001",
        "lr=0.01",
        "study run planted.toml",
        "torch 2.13",
        "a processor",
        "gradient evaluations",
        "Every pair of arms (3)",
        "Friedman's test of equal mean ranks has p",
        "Ranks, Friedman's test, the critical-difference figure and claims need not agree",
        "0 of 5",
        "P(first better)",
        "before the first trial: SHA-256",
        "Drawing the 5 replicates anew",
        "too few trials: 4 of at least 10",
        "[search]",
    ],
)
def test_the_page_tells(page: Page, content: str) -> None:
    assert content in page.text


def test_the_verdicts_stand_above_the_ranking(page: Page) -> None:
    assert page.text.index("Claims") < page.text.index("Ranking")


def test_failures_are_told_by_arm_and_cause(tmp_path: Path) -> None:
    results = by_id([diverged("relu", "tune", 0), trial("relu", "tune", 1, status="failed", kind="oom")])
    record = planted_record(tmp_path, planted_spec("relu", trials=2), results)
    text = Page(write_report(record).html).text
    assert "diverged(nonfinite_loss)" in text
    assert "failed(oom)" in text
    assert "relu/tune/0 diverged(nonfinite_loss) the loss is not finite" in text


def test_faults_are_told(tmp_path: Path) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    with JournalWriter(record) as journal:
        journal.append("fault", what="the tracking server was away")
    assert "the tracking server was away" in Page(write_report(record).html).text


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["/opt/bin/study", "run", "planted.toml", "--set", "a b"], "study run planted.toml --set 'a b'"),
        (["/opt/study/__main__.py", "run", "x"], "python -m study run x"),
    ],
)
def test_the_command_is_told_as_one_types_it(tmp_path: Path, command: list[str], told: str) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    with JournalWriter(record) as journal:
        journal.session({}, command)
    assert told in Page(write_report(record).html).text


def test_every_start_is_told(tmp_path: Path) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    with JournalWriter(record) as journal:
        journal.session({}, ["study", "run", "planted.toml"])
    assert re.search(
        r"Started \S+ \S+ UTC, again \S+ \S+ UTC study run", Page(write_report(record).html).text
    )


# -- partial records ----------------------------------------------------------------------------------


def test_a_study_that_has_just_begun_has_a_report_that_says_so(tmp_path: Path) -> None:
    record = StudyRecord.create(tmp_path, planted_spec("relu", "elu", trials=2, replicates=3))
    page = Page(write_report(record).html)
    assert "unfinished: 0 of 4 tuning trials and 0 of 6 replicates have ended" in page.text
    assert "no replicate yet" in page.text
    assert page.images == []


def test_a_study_without_replicates_shows_its_tuning(tmp_path: Path) -> None:
    spec = planted_spec("relu", "elu", trials=2, replicates=3)
    record = planted_record(tmp_path, spec, by_id([finished("relu", "tune", 0, 0.5)]), finished=False)
    files = write_report(record)
    assert list(files.figures) == ["curves", "tuning", "verdicts"]  # of one trial there is no budget to draw
    assert "there is no ranking" in Page(files.html).text


def test_claims_that_were_changed_after_the_start_are_noticed(tmp_path: Path) -> None:
    record = whole(tmp_path)
    study_file = record.folder / "study.toml"
    study_file.write_text(study_file.read_text().replace('"L1"', '"L2"'))
    changed = StudyRecord(record.folder)
    assert any("not those that stood there" in notice for notice in summary(changed)["notices"])


def test_an_untouched_study_has_no_notice(reported: StudyRecord) -> None:
    assert read_findings(reported).notices() == ()


# -- for programs -------------------------------------------------------------------------------------


def test_the_summary_has_the_promised_names(reported: StudyRecord) -> None:
    found = summary(reported)
    assert {"study", "digest", "folder", "phases", "ranking", "claims", "files"} <= found.keys()
    assert (found["study"], found["digest"]) == ("planted", reported.digest)


def test_the_summary_has_all_that_stands_behind_the_ranking(reported: StudyRecord) -> None:
    found = summary(reported)
    assert {"criterion", "pairs", "mean_ranks", "tuning", "costs"} <= found.keys()
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [
        ("elu", "relu"),
        ("elu", "tanh"),
        ("relu", "tanh"),
    ]
    assert found["mean_ranks"]["mean_ranks"] == {"elu": 1.0, "relu": 2.0, "tanh": 3.0}
    assert [cost["arm"] for cost in found["costs"]] == ["elu", "relu", "tanh"]
    assert found["costs"][0]["replicate_s"] == 10.0


def test_the_criterion_stands_since_before_the_first_trial(reported: StudyRecord) -> None:
    criterion = summary(reported)["criterion"]
    assert criterion["sha256"] == reported.spec.criterion
    assert criterion["before_the_first_trial"] is True
    assert criterion["unchanged"] is True


def test_a_criterion_of_after_the_first_trial_is_told_as_such(tmp_path: Path) -> None:
    record = whole(tmp_path)
    study_file = record.folder / "study.toml"
    study_file.write_text(study_file.read_text().replace('"L1"', '"L2"'))
    changed = StudyRecord(record.folder)
    with JournalWriter(changed) as journal:
        journal.session({}, ["study", "run", "planted.toml"])
    criterion = summary(changed)["criterion"]
    assert criterion["before_the_first_trial"] is False
    assert criterion["unchanged"] is False
    assert "after the first trial" in Page(write_report(changed).html).text


def test_the_terminal_says_which_arms_share_a_place(tmp_path: Path) -> None:
    spec = planted_spec("relu", "elu", replicates=3)
    results = by_id(scores("relu", 0.5, 0.4, 0.6), scores("elu", 0.45, 0.5, 0.52))
    assert "arms with the same # cannot be told apart" in printed(planted_record(tmp_path, spec, results))


def test_the_summary_counts_trials_by_phase_and_verdict(tmp_path: Path) -> None:
    results = by_id([finished("relu", "tune", 0, 0.5), diverged("relu", "tune", 1)], scores("relu", 0.5))
    record = planted_record(tmp_path, planted_spec("relu", trials=2, replicates=1), results)
    assert summary(record)["phases"] == {"tune": {"ok": 1, "diverged": 1}, "confirm": {"ok": 1}}


def test_the_summary_lists_the_files_that_are_there(reported: StudyRecord) -> None:
    files = summary(reported)["files"]
    assert files["report.html"] == str(reported.folder / "report.html")
    assert all(Path(path).is_file() for path in files.values())


@pytest.mark.parametrize("results", [{}, by_id(scores("relu", None)), by_id(scores("relu", 0.5, None))])
def test_the_summary_is_strict_json(tmp_path: Path, results: dict[str, Any]) -> None:
    spec = planted_spec("relu", "elu", replicates=2, claims=[claim("relu", "elu")])
    found = summary(planted_record(tmp_path, spec, results))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


# -- hostile names ------------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "\x1b[31mred",
    "[bold]loud[/bold]",
    "a\u202eb",
    "$x$",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """A study whose every free text is hostile; arms' names are refused when the study is read."""
    spec = planted_spec(
        "relu",
        "elu",
        trials=1,
        replicates=2,
        question="<img src=x onerror=alert(1)> \x1b]0;title\x07 [red]?",
        claims=[{**claim("relu", "elu"), "source": text, "text": text} for text in HOSTILE],
    )
    results = simulated(spec, {"relu": 0.5, "elu": 0.5})
    lost = trial("relu", "tune", 0, status="failed", kind="<b>", reason="</td><script>x</script>\x1b[2J")
    record = planted_record(tmp_path_factory.mktemp("runs"), spec, {**results, lost.config.id: lost})
    write_report(record)
    return record


def test_hostile_text_makes_no_tag(hostile: StudyRecord) -> None:
    page = Page(hostile.folder / "report.html")
    assert "script" not in page.tags
    assert len(page.images) == 4  # two arms have no critical difference, one tuning trial no budget
    assert "<script>alert(1)</script>" in page.text


def test_hostile_text_leaves_no_control_character_in_the_page(hostile: StudyRecord) -> None:
    text = (hostile.folder / "report.html").read_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


def test_hostile_text_gives_the_terminal_no_command(hostile: StudyRecord) -> None:
    for width in (40, 80, 160):
        text = printed(hostile, width)
        assert "\x1b" not in text
        assert "\x07" not in text


def test_hostile_text_is_no_markup_in_the_terminal(hostile: StudyRecord) -> None:
    assert "[bold]loud[/bold]" in printed(hostile, 200)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_text_that_a_spreadsheet_would_run_is_quoted(start: str) -> None:
    spec = renamed(planted_spec("relu", "elu"), f"{start}1+1")
    rows = list(csv.reader(io.StringIO(ranking_csv(ranking(spec, {})))))
    assert rows[1][1] == f"'{start}1+1"


def test_numbers_stay_numbers_in_the_csv_file() -> None:
    spec = planted_spec("relu", "elu", replicates=2)
    results = by_id(scores("relu", -0.5, -0.25), scores("elu", -0.75, -0.5))
    row = next(csv.DictReader(io.StringIO(ranking_csv(ranking(spec, results)))))
    assert (row["mean"], row["rank"], row["lead"]) == ("-0.375", "1", "0.25")


def test_each_claim_is_a_line_of_claims_csv(tmp_path: Path) -> None:
    record = whole(tmp_path)
    claims = write_report(record).claims
    assert claims is not None
    (row,) = csv.DictReader(io.StringIO(claims.read_text("utf-8")))
    (told,) = summary(record)["claims"]
    assert {key: row[key] for key in ("verdict", "source", "claim", "reason", "needs")} == {
        key: told[key] for key in ("verdict", "source", "claim", "reason", "needs")
    }
    assert (row["estimate"], row["low"], row["high"]) == ("", "", "")  # an order rests on several


def test_a_study_without_claims_has_no_claims_csv(tmp_path: Path) -> None:
    record = planted_record(tmp_path, planted_spec("relu"), {})
    assert write_report(record).claims is None
    assert not (record.folder / "claims.csv").exists()


def test_what_there_is_no_number_for_is_an_empty_cell() -> None:
    row = next(csv.DictReader(io.StringIO(ranking_csv(ranking(planted_spec("relu"), {})))))
    assert (row["rank"], row["mean"], row["n"]) == ("", "", "0")


# -- the terminal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_ranking_fits_the_terminal(reported: StudyRecord, width: int) -> None:
    lines = printed(reported, width).splitlines()
    assert max(len(line) for line in lines if not line.startswith("report")) <= width


@pytest.mark.parametrize(
    "content",
    ["elu", "± ", "lr=0.01", "REPRODUCED", "judged by the paired t test", "τ = 1.00", "claimed", "observed"],
)
def test_the_terminal_tells(reported: StudyRecord, content: str) -> None:
    assert content in printed(reported).replace("\N{NO-BREAK SPACE}", " ")


def test_the_terminal_ends_with_the_path_of_the_report(reported: StudyRecord) -> None:
    assert printed(reported).splitlines()[-1] == f"report  {reported.folder / 'report.html'}"


def test_flags_are_footnotes(tmp_path: Path) -> None:
    spec = planted_spec("relu", "elu", trials=2, replicates=2)
    results = by_id([finished("relu", "tune", index, 0.5, lr=0.1) for index in (0, 1)], scores("elu", 0.5))
    text = printed(planted_record(tmp_path, spec, results), 120)
    assert "relu [4,5]" in text
    assert "[4] best optimizer.lr = 0.1 lies on the edge of [0.0001, 0.1]: widen it" in text


def test_a_study_that_has_just_begun_is_printed(tmp_path: Path) -> None:
    record = StudyRecord.create(
        tmp_path, planted_spec("relu", "elu", replicates=3, claims=[claim("relu", "elu")])
    )
    assert "unfinished" in printed(record)


# -- the command --------------------------------------------------------------------------------------


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study", "report", *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    whole(tmp_path)
    done = command("planted", "--out", str(tmp_path), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ranking"][0]["arm"] == "elu"


def test_the_command_prints_the_ranking_and_writes_the_report(tmp_path: Path) -> None:
    record = whole(tmp_path)
    done = command("planted", "--out", str(tmp_path))
    assert "REPRODUCED" in done.stdout
    assert (record.folder / "report.html").is_file()


def test_an_unknown_study_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    whole(tmp_path)
    done = command("plantd", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean planted?" in done.stderr
    assert done.stderr.count("\n") == 1
