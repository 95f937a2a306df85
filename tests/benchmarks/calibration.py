"""How often verdicts and intervals are wrong, and how often they find what is there: simulated studies.

    make calibration

prints the table of the README. Every study is judged from its trials' results on, as a real one is. Noise is
in units of the paired differences' standard deviation where nothing else is said.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from study.analysis.intervals import mean_interval, wilson
from study.analysis.power import detectable
from study.analysis.ranking import ranking
from study.analysis.resampling import BCA_LEADS_FROM, bca
from study.analysis.verdicts import judge
from study.spec import StudySpec
from study.trial import TrialResult
from tests.analysis.planted import by_id, planted_spec, scores

ARMS = ("relu", "elu", "prelu", "tanh", "gelu")
LEVEL, BLOCK, NOISE = 0.5, 0.02, 0.01
WIDTH = 80

Draw = Callable[[random.Random], float]


def normal(draw: random.Random) -> float:
    return draw.gauss(0, 1)


def skewed(draw: random.Random) -> float:
    return draw.expovariate(1) - 1


def heavy(draw: random.Random) -> float:
    """Student's t with 3 degrees of freedom, of variance 1."""
    return draw.gauss(0, 1) / math.sqrt(sum(draw.gauss(0, 1) ** 2 for _ in range(3)) / 3) / math.sqrt(3)


NOISES: Mapping[str, Draw] = {"normal": normal, "skewed": skewed, "heavy-tailed": heavy}


@dataclass(frozen=True)
class Line:
    """``count`` of ``n`` simulated studies, and the share that was aimed at."""

    what: str
    count: int
    n: int
    goal: str

    @property
    def share(self) -> float:
        return self.count / self.n

    def __str__(self) -> str:
        low, high = wilson(self.count, self.n)
        return f"{self.what:<{WIDTH}} {self.share:6.1%}  [{low:.1%}, {high:.1%}]  {self.goal}"


def study_of(steps: Sequence[float], replicates: int, claim: Mapping[str, object]) -> StudySpec:
    return planted_spec(*ARMS[: len(steps)], replicates=replicates, claims=[claim])


def order_claim(arms: int, test: str = "t") -> dict[str, object]:
    """That the arms stand in the order of ARMS."""
    order = list(ARMS[:arms])
    return {"source": "planted", "metric": "test_accuracy", "ranking": order, "test": test}


def drawn(
    steps: Sequence[float], replicates: int, noise: Draw, draw: random.Random, lost: float = 0.0
) -> dict[str, TrialResult]:
    """One study's replicates: arm i lies ``steps[i]`` (in units of paired differences' spread) above LEVEL;
    blocks are shared; a share of the replicates diverges."""
    blocks = [draw.gauss(LEVEL, BLOCK) for _ in range(replicates)]

    def score(block: float, step: float) -> float | None:
        if draw.random() < lost:
            return None
        # Two arms' noises make the spread of a paired difference.
        return block + NOISE * (step + noise(draw) / math.sqrt(2))

    return by_id(
        *(
            scores(arm, *(score(block, step) for block in blocks))
            for arm, step in zip(ARMS, steps, strict=False)
        )
    )


def verdicts(
    steps: Sequence[float],
    replicates: int,
    claim: Mapping[str, object],
    studies: int,
    *,
    noise: Draw = normal,
    lost: float = 0.0,
    seed: int = 0,
) -> dict[str, int]:
    """How many of the studies came to which verdict."""
    draw = random.Random(seed)
    spec = study_of(steps, replicates, claim)
    counts = {"reproduced": 0, "contradicted": 0, "undecided": 0}
    for _ in range(studies):
        counts[judge(spec.claims[0], spec, drawn(steps, replicates, noise, draw, lost)).verdict] += 1
    return counts


def decided(counts: Mapping[str, int]) -> int:
    return counts["reproduced"] + counts["contradicted"]


def false_verdicts(studies: int) -> Iterator[Line]:
    """No arm is better than another: every verdict on an order is false."""
    for arms in (2, 5):
        for test in ("t", "sign_flips"):
            for name, noise in NOISES.items():
                counts = verdicts([0.0] * arms, 8, order_claim(arms, test), studies, noise=noise)
                what = f"false verdict, order of {arms} equal arms, 8 replicates, {test}, {name} noise"
                yield Line(what, decided(counts), studies, "at most 5 %")
    counts = verdicts([0.0] * 2, 8, order_claim(2, "sign_flips"), studies, lost=0.1)
    what = "false verdict, order of 2 equal arms of which a tenth diverges, sign_flips"
    yield Line(what, decided(counts), studies, "at most 5 %")
    for what, claim in NUMBERS.items():
        counts = verdicts([0.0] * 2, 8, claim, studies)
        yield Line(f"false verdict, {what}, 8 replicates", decided(counts), studies, "at most 5 %")


# Bounds that the truth lies on, so that either verdict is false (reproduced, by as much as it may be).
NUMBERS: Mapping[str, Mapping[str, object]] = {
    "value at its bound": {
        "source": "planted",
        "metric": "test_accuracy",
        "value": {"arm": "relu", "at_least": LEVEL},
    },
    "difference at its bound": {
        "source": "planted",
        "metric": "test_accuracy",
        "difference": {"arms": ["relu", "elu"], "at_least": 0.0},
    },
    "ratio at its bound": {
        "source": "planted",
        "metric": "test_accuracy",
        "ratio": {"arms": ["relu", "elu"], "at_least": 1.0},
    },
}


def shuffled_labels(studies: int, seed: int = 1) -> Line:
    """Arms that do differ, with their names shuffled inside each block: nothing is left to find."""
    draw = random.Random(seed)
    steps, claim = (4.0, 2.0, 0.0), order_claim(3)
    spec = study_of(steps, 8, claim)
    count = 0
    for _ in range(studies):
        results = drawn(steps, 8, normal, draw)
        numbers: dict[str, dict[int, float]] = {arm: {} for arm in ARMS[:3]}
        for block in range(8):
            found = [results[f"{arm}/confirm/{block}"].metrics["test_accuracy"] for arm in ARMS[:3]]
            draw.shuffle(found)
            for arm, value in zip(ARMS, found, strict=False):
                numbers[arm][block] = value
        turned = by_id(*(scores(arm, *mine.values()) for arm, mine in numbers.items()))
        count += judge(spec.claims[0], spec, turned).verdict == "undecided"
    return Line("undecided, 3 arms two spreads apart with shuffled labels", count, studies, "at least 95 %")


def planted_orders(studies: int, seed: int = 2) -> Iterator[Line]:
    """Five arms three spreads apart, 10 replicates: the claim is reproduced, and ranks are 1 to 5."""
    steps = (12.0, 9.0, 6.0, 3.0, 0.0)
    counts = verdicts(steps, 10, order_claim(5), studies, seed=seed)
    yield Line("reproduced, 5 arms three spreads apart", counts["reproduced"], studies, "at least 95 %")
    draw = random.Random(seed)
    spec = study_of(steps, 10, order_claim(5))
    exact = 0
    for _ in range(studies):
        found = ranking(spec, drawn(steps, 10, normal, draw))
        exact += [(each.arm, each.rank) for each in found.arms] == [
            (arm, i + 1) for i, arm in enumerate(ARMS)
        ]
    yield Line("ranks 1 to 5, of the same", exact, studies, "at least 95 %")


def powers(studies: int) -> Iterator[Line]:
    """Two arms as far apart as study plan says that so many replicates detect with power 0.8."""
    for test, sizes in (("t", (5, 8, 20)), ("sign_flips", (8, 20))):
        for n in sizes:
            effect = detectable(1.0, n)
            assert effect is not None
            counts = verdicts((effect, 0.0), n, order_claim(2, test), studies, seed=n)
            what = f"reproduced, difference of {effect:.2f} spreads, {n} replicates, {test}"
            yield Line(what, counts["reproduced"], studies, "80 %" if test == "t" else "about 80 %")


def covered(kind: str, n: int, noise: Draw, studies: int, seed: int = 3) -> int:
    """In how many studies the interval of the mean of ``n`` values covers the truth, 0."""
    draw = random.Random(seed)
    count = 0
    for _ in range(studies):
        numbers = [noise(draw) for _ in range(n)]
        found = mean_interval(numbers) if kind == "t" else bca(numbers)
        assert found.low is not None
        assert found.high is not None
        count += found.low <= 0 <= found.high
    return count


def coverage(studies: int) -> Iterator[Line]:
    """Both intervals, where they lead and where they do not."""
    for kind, sizes in (("t", (5, 8, 10, 20)), ("bca", (5, 8, 10, 20, 50))):
        for n in sizes:
            for name in ("normal", "skewed"):
                leads = (kind == "t") == (n < BCA_LEADS_FROM)
                goal = "95 \N{PLUS-MINUS SIGN} 2 %" if name == "normal" else "95 %"
                what = f"covered, mean of {n} values, {kind}, {name} noise"
                yield Line(
                    what, covered(kind, n, NOISES[name], studies), studies, goal if leads else "not leading"
                )


def lines(studies: int) -> Iterator[Line]:
    yield from false_verdicts(studies)
    yield shuffled_labels(studies)
    yield from planted_orders(studies)
    yield from powers(studies)
    yield from coverage(studies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a line")
    studies = parser.parse_args().studies

    def say(line: object) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    say(f"{'':<{WIDTH}}  share  95 % interval, of {studies:,} simulated studies a line; aim")
    for line in lines(studies):
        say(line)


if __name__ == "__main__":
    main()
