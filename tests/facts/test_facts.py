"""The facts: verdicts that follow from numbers, and the numbers against closed forms and other libraries."""

from __future__ import annotations

import math

import pytest
from scipy.stats import norm

from study.errors import StudyError
from study.facts.answers import answered, examinable, examine
from study.facts.bounds import formula
from study.facts.checking import Answer, Truth, answer, instead, raised, said, text
from study.facts.minimisers import huber_bias
from study.facts.statements import statements
from study.facts.table import FACTS

# What a reader with pencil and paper comes to.
EXPECTED: dict[Truth, str] = {
    "true": "C08 C17 C23 C28 C29 C30 C38 C41 C45 C47 C49 C53 C54 C57 C59 C60 C62 C63 C65 C68 C69 C72 C74 C76 "
    "C83 C84 C85 C87 C91 C93",
    "true with a correction": "C07 C25 C26 C27 C40 C42 C43 C48 C50 C51 C55 C56 C61 C66 C67 C70 C73 C75 C77 "
    "C81 C86 C88 C92",
    "false": "C16 C36 C39 C44 C46 C82",
    "not testable": "C64 C89 C90",
}

# ALL-CNN-C's convolutions: inputs, outputs and kernel (Springenberg et al. 2015, table 1).
LAYERS = [(3, 96, 3), (96, 96, 3), (96, 96, 3), (96, 192, 3), (192, 192, 3), (192, 192, 3), (192, 192, 3)]
LAYERS += [(192, 192, 1), (192, 10, 1)]
WEIGHTS = sum(inputs * outputs * kernel**2 + outputs for inputs, outputs, kernel in LAYERS)

# A statement, the beginning of one of its parts, and what that part comes to, by another way.
NUMBERS = [
    ("C07", "exp(100) in float64", math.exp(100), 1e30),
    ("C07", "the cross-entropy of a logit of 100", 100 + math.log(1 + 2 * math.exp(-100)), 1e-5),
    ("C25", "relative change", (0.1 / 0.1) / (0.1 / 5.1), 1e-9),
    ("C26", "additions of a shortcut", 1 / (2 * 9 * 64), 1e-12),
    ("C27", "what L2 leaves", math.exp(1000 * math.log(0.99)), 1e-9),
    ("C28", "slope of ELU at -6", math.exp(-6), 1e-6),
    ("C29", "mean of ReLU less", 0.5 - math.exp(0.5) * norm.cdf(-1), 1e-6),
    ("C30", "share of the noise's variance behind leaky", 0.2**2, 1e-3),
    ("C40", "mape(predictions", 100 * (50 / 50 + 20 / 220) / 2 - 100 * (50 / 100 + 20 / 200) / 2, 1e-9),
    ("C42", "the same for beta = delta = 2", 2 * (5 - 1) - (5 - 1), 1e-9),
    ("C43", "-mean(y log", -(0 + 1 + 2 + 3) / 4 * 1e-12 - (1 + 0 - 1 - 2) / 4 * math.log(1e-12), 1e-6),
    ("C44", "the loss", math.log(2) * (0 + 1 + 2 + 3) / 2, 1e-6),
    ("C46", "sum of the squares", 3, 0),
    ("C49", "MAE: farthest", 0.2, 1e-9),
    ("C50", "constant with the least MSE", 0.9 * 150 + 0.1 * 15, 1e-4),
    ("C50", "share of outliers", 120 / 135, 1e-9),
    ("C55", "|x| + log", 711 - math.log(2), 1e-9),
    ("C56", "quantile loss at 0.5", 0.5, 1e-12),
    ("C57", "loss of an overestimate", 0.75 / 0.25, 1e-12),
    ("C59", "share of the targets", 0.9, 0.002),
    ("C60", "bias of MSE", 1.0, 1e-12),
    ("C60", "boosted trees: bias by MAE", 0.140, 0.05),  # by sinc-losses' theory
    ("C61", "largest bias over the least, noise of deviation 1", 0.444 / 0.163, 0.01),
    ("C62", "boosted trees: share of new targets below the 0.1", 0.1, 0.03),
    ("C63", "gradients by the full set", 10, 0.1),
    ("C66", "step 1,000 over", 1 / math.sqrt(1000), 1e-6),
    ("C68", "Adagrad", math.sqrt(1 / 2), 1e-6),
    ("C69", "largest step", 0.1 / math.sqrt(0.001 / (1 - 0.999**3001)), 1e-4),
    ("C74", "bytes of the history over those of BFGS", 2 * 100 / WEIGHTS, 1e-9),
    ("C76", "mini-batches", (1.2**9 - 1) / 0.2, 1e-6),
    ("C77", "step 2 over", 1.2, 1e-9),
    ("C81", "penalty at h = 2N", math.sqrt(2 + math.log(4 / 0.05) / 50_000), 1e-12),
    ("C82", "images for each dimension", 843, 1),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    """Every fact, measured once."""
    return {statement.id: examine(statement) for statement in examinable()}


@pytest.mark.parametrize("truth", EXPECTED)
def test_verdicts_are_what_pencil_and_paper_give(truth: Truth, answers: dict[str, Answer]) -> None:
    assert [name for name, answer in answers.items() if answer.truth == truth] == EXPECTED[truth].split()


@pytest.mark.parametrize(("name", "what", "expected", "within"), NUMBERS)
def test_what_is_measured_is_what_another_way_gives(
    name: str, what: str, expected: float, within: float, answers: dict[str, Answer]
) -> None:
    found = next(part.found for part in answers[name].parts if part.what.startswith(what))
    assert found == pytest.approx(expected, abs=within, rel=1e-9)


def test_every_correction_holds_itself(answers: dict[str, Answer]) -> None:
    assert not [(name, p.what) for name, a in answers.items() for p in a.parts if not p.said and not p.holds]


def test_what_is_not_wholly_true_is_corrected(answers: dict[str, Answer]) -> None:
    assert not [name for name, a in answers.items() if a.truth != "true" and not a.note]


def test_batch_norm_adds_as_many_parameters_as_it_has_channels(answers: dict[str, Answer]) -> None:
    normalised = sum(outputs for _, outputs, _ in LAYERS[:-1])
    assert f"{WEIGHTS:,} to {WEIGHTS + normalised:,}" in answers["C17"].note
    assert (WEIGHTS, normalised) == (1_369_738, 1_248)


@pytest.mark.parametrize(
    ("h", "n", "expected"),
    [(51, 50_000, 0.0940), (101, 50_000, 0.127), (3_073, 50_000, 0.525), (271_828, 50_000, 0.0096)],
)
def test_the_vc_penalty_is_that_of_the_published_formula(h: int, n: int, expected: float) -> None:
    assert formula(h, n) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("delta", "bias"), [(0.25, 0.141), (1, 0.163), (2, 0.233), (4, 0.444)])
def test_hubers_bias_is_where_its_influence_adds_up_to_nothing(delta: float, bias: float) -> None:
    assert huber_bias(delta, 1.0) == pytest.approx(bias, abs=5e-4)


def test_a_verdict_needs_all_parts_some_or_none() -> None:
    yes, no = said("1", 1.0, equals=1.0), said("2", 2.0, at_most=1.0)
    other = instead("2", 2.0, equals=2.0)
    assert answer(yes, yes, other).truth == "true"
    assert answer(yes, no, other).truth == "true with a correction"
    assert answer(no, other).truth == "false"
    assert answer(other).truth == "not testable"


@pytest.mark.parametrize(
    ("found", "wanted", "holds"),
    [
        (math.nan, math.nan, True),
        (math.nan, 0.0, False),
        (math.inf, math.inf, True),
        (-math.inf, math.inf, False),
        (1.0, math.inf, False),
        ("TypeError", "TypeError", True),
        ("nothing", "TypeError", False),
        (1.0, "1", False),
    ],
)
def test_what_is_not_a_number_equals_only_its_own_kind(
    found: float | str, wanted: float | str, holds: bool
) -> None:
    assert said("it", found, equals=wanted).holds is holds


def test_a_nan_lies_within_no_bounds() -> None:
    assert not said("it", math.nan, at_least=0.0).holds
    assert not said("it", math.nan, at_most=0.0).holds
    assert not said("it", math.nan, equals=0.0, within=1.0).holds


def test_numbers_are_written_as_one_reads_them() -> None:
    assert [text(each) for each in (3072.0, -13.81551, math.inf, 2.688e43, "word")] == [
        "3,072",
        "-13.8155",
        "inf",
        "2.688e+43",
        "word",
    ]


def test_an_error_goes_by_its_name() -> None:
    assert raised(lambda: int("x")) == "ValueError"
    assert raised(lambda: 1) == "nothing"


def test_every_fact_is_of_a_statement() -> None:
    assert FACTS.keys() <= statements().keys()


def test_statements_stand_in_the_order_of_their_numbers() -> None:
    assert [statement.id for statement in statements().values()] == [f"C{n:02}" for n in range(1, 94)]


@pytest.mark.parametrize("name", [statement.id for statement in statements().values()])
def test_a_statement_says_where_it_stands_and_in_which_words(name: str) -> None:
    statement = statements()[name]
    ends = [int(end) for part in statement.lines.split(", ") for end in part.split("-")]
    assert ends == sorted(ends)
    assert 1 <= ends[0] <= ends[-1] <= 972
    assert statement.quote
    assert statement.statement


def test_every_statement_has_an_answer_to_come_or_a_reason_why_not() -> None:
    for each in answered():
        ways = (each.fact, bool(each.statement.studies), bool(each.statement.reason))
        assert any(ways), each.statement.id
        assert not (each.statement.reason and (each.fact or each.statement.studies)), each.statement.id


def test_what_nothing_answers_says_why() -> None:
    for each in answered():
        assert (each.open is None) == (each.fact or bool(each.studies))
        assert each.open is None or each.open


def test_every_study_that_is_named_is_bundled_and_what_is_open_says_why() -> None:
    for each in answered():
        assert each.studies == each.statement.studies
        assert each.open is None or each.open == each.statement.reason


def test_what_takes_trainings_is_named_by_its_study() -> None:
    with pytest.raises(StudyError, match="C34 takes trainings, not a formula; see: study show cifar10-acts"):
        examine(statements()["C34"])
