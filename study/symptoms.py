"""What a training's numbers say of it: the rules of divergence, on plain floats."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping
from copy import deepcopy
from statistics import median
from typing import Any

from study.components.thresholds import Thresholds
from study.trial import Event, Verdict, finite_or_none

WINDOW = 50  # steps of which the median is taken
MEMORY = 0.9  # of the smoothed loss, a step: as long as a growing loss needs to be told from one bad batch
DEVIATION = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
LEAST_DEVIATION = 0.02  # in units of the scale: nearly equal losses have no spread to measure by
RETURNED = 1.1  # times its best: a loss below has not gone up
CHANCE_DEVIATIONS = 3.0  # how far above chance an accuracy still is chance
MAX_EVENTS = 200  # told one by one; later ones are counted


class Watch:
    """One training, told step by step; speaks when a rule of ``Thresholds`` is met.

    ``scale`` is the loss of the best constant predictor (study.components.losses); without it only
    numbers that are not finite are a symptom. ``chance`` is that predictor's accuracy, or None in
    regression, ``epoch_steps`` how many steps an epoch has (0: there are no epochs).
    """

    def __init__(
        self,
        thresholds: Thresholds,
        scale: float | None,
        *,
        chance: float | None = 0.0,
        epoch_steps: int = 0,
    ) -> None:
        self.limits = thresholds
        self.scale = scale
        self.chance = chance
        self.epoch_steps = epoch_steps
        self.warmup = max(thresholds.warmup_steps, epoch_steps // 4)
        self.steps = 0
        self.lr = math.inf
        self.warm_from = self.warmup
        self.smoothed = self.best = math.inf
        self.losses: deque[float] = deque()
        self.norms: deque[float] = deque(maxlen=WINDOW)
        self.high = 0
        self.highest = 0.0
        self.spike: Event | None = None
        self.at_chance: int | None = None
        self.largest_norm = 0.0
        self.events: list[Event] = []
        self.omitted: dict[str, int] = {}
        self._ordered: list[float] = []

    # -- every step

    def step(self, loss: float, norm: float, lr: float | None = None) -> Verdict | None:
        """One step's loss, gradient norm and learning rate; diverged where a rule says so."""
        self.steps += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return self._nonfinite(loss, norm)
        if self.scale is None:
            return None
        if lr is not None:
            if lr > self.lr:
                self.warm_from = self.steps + self.warmup
                self.at_chance = None
            self.lr = lr
        if self.steps == 1:
            self.smoothed = self.best = loss
        self.smoothed += (1 - MEMORY) * (loss - self.smoothed)
        if self._explodes(loss):
            return self._explosion(loss, norm)
        self.best = min(self.best, self.smoothed)
        self.norms.append(norm)
        armed = self.steps > self.warm_from
        if self.spike is not None:
            self._follow_spike(loss)
        elif armed:
            self._look_for_spike(loss)
        self._remember(loss)
        return self._no_return(norm) if armed else None

    def median(self) -> float:
        """Of the last losses."""
        return self._ordered[len(self._ordered) // 2] if self._ordered else math.inf

    def _remember(self, loss: float) -> None:
        self.losses.append(loss)
        insort(self._ordered, loss)
        if len(self.losses) > WINDOW:
            del self._ordered[bisect_left(self._ordered, self.losses.popleft())]

    def _nonfinite(self, loss: float, norm: float) -> Verdict:
        kind = "nonfinite_gradient" if math.isfinite(loss) else "nonfinite_loss"
        said = f"loss {loss:.4g} and gradient norm {norm:.4g}"
        return self._verdict(kind, said, loss=loss, gradient_norm=norm)

    def _explodes(self, loss: float) -> bool:
        limits, scale = self.limits, self.scale or 0
        risen = limits.rise * self.best
        return (loss > limits.explosion * scale and loss > risen) or (
            self.smoothed > limits.rise_level * scale and self.smoothed > risen
        )

    def _explosion(self, loss: float, norm: float) -> Verdict:
        said = f"loss {loss:.4g}, smoothed {self.smoothed:.4g} after {self.best:.4g} at best"
        numbers = {"loss": loss, "gradient_norm": norm, "smoothed": self.smoothed, "best": self.best}
        return self._verdict("explosion", said, **numbers)

    def _no_return(self, norm: float) -> Verdict | None:
        """The loss went up, and has not come down for as long as it takes to believe it will not."""
        now = self.median()
        if now <= self.limits.no_return * (self.scale or 0) or now <= RETURNED * self.best:
            self.high = 0
            return None
        self.highest = max(self.highest, now) if self.high else now
        self.high += 1
        if self.high < self.limits.no_return_steps:
            return None
        if now < 0.8 * self.highest:
            self.high = 0
            return None
        said = f"median loss {now:.4g} for {self.high} steps after {self.best:.4g} at best"
        return self._verdict("no_return", said, loss=now, gradient_norm=norm, best=self.best)

    def _verdict(self, kind: str, said: str, **numbers: float) -> Verdict:
        step = self.steps - 1
        told = {name: finite_or_none(value) for name, value in numbers.items()}
        if self.scale is not None:
            told["best_constant"] = self.scale
            said += f", where the best constant has {self.scale:.4g},"
        return Verdict(
            "stalled" if kind == "dead" else "diverged",
            kind=kind,
            step=step,
            reason=f"{said} at step {step}",
            numbers=told,
        )

    # -- spikes: told, never a reason to stop

    def _look_for_spike(self, loss: float) -> None:
        scale, limits, middle = self.scale or 0, self.limits, self.median()
        if loss - middle <= limits.spike_height * scale or loss <= limits.spike_ratio * middle:
            return
        spread = DEVIATION * max(
            median([abs(each - middle) for each in self.losses]), LEAST_DEVIATION * scale
        )
        if loss - middle > limits.spike_deviations * spread:
            self.spike = {"kind": "spike", "step": self.steps - 1, "median": middle, "peak": loss}

    def _follow_spike(self, loss: float) -> None:
        spike = self.spike
        assert spike is not None
        spike["peak"] = max(spike["peak"], loss)
        lasted = self.steps - 1 - spike["step"]
        if self.smoothed <= max(1.1 * spike["median"], spike["median"] + 0.02 * (self.scale or 0)):
            self._close_spike("recovered", lasted)
        elif lasted >= max(self.limits.recovery_steps, 2 * self.epoch_steps):
            self._close_spike("lingering", lasted)

    def _close_spike(self, kind: str, lasted: int) -> None:
        spike, self.spike = self.spike, None
        assert spike is not None
        self.note({**spike, "kind": kind, "steps": lasted})

    def note(self, event: Event) -> None:
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.omitted[event["kind"]] = self.omitted.get(event["kind"], 0) + 1

    def told(self) -> tuple[Event, ...]:
        """All events until now; a spike that is under way is ``spike``, and ``omitted`` counts the rest."""
        under_way = [self.spike] if self.spike else []
        rest: list[Event] = [{"kind": "omitted", **self.omitted}] if self.omitted else []
        return (*self.events, *under_way, *rest)

    # -- every epoch

    def epoch(
        self,
        accuracy: float | None,
        examples: int,
        *,
        alike: Callable[[], bool] | None = None,
        last: bool = False,
    ) -> Verdict | None:
        """An epoch's training accuracy over so many examples (None: regression); stalled where the model
        is dead.

        ``alike()`` says whether the model answers the same, or nearly, whatever it is shown; asked at chance
        only. ``last``: no epoch comes after this one, so what is sure need not be waited for.
        """
        if self.scale is None:
            return None
        norm = median(self.norms)
        self.largest_norm = max(self.largest_norm, norm)
        if self.steps <= self.warm_from or self.steps < self.epoch_steps:
            return None
        if not self._at_chance(accuracy, examples):
            self.at_chance = None
            return None
        if self.at_chance is None:
            self.at_chance = self.steps
        waited = self.steps - self.at_chance
        if alike is not None and alike():
            if not last and waited < max(self.warmup, self.epoch_steps):
                return None
            why = "the model answers the same, or nearly, whatever it is shown"
        # A weak signal looks like this too, and in regression there is no accuracy to tell them apart.
        elif accuracy is None or not (why := self._hopeless(norm, waited)):
            return None
        return self._dead(why, accuracy, norm)

    def _hopeless(self, norm: float, waited: int) -> str:
        """Why a model that has been at chance for so many steps will stay there; empty where it may not."""
        patience = max(self.warmup, self.limits.dead_epochs * self.epoch_steps)
        if self._unlearned() and norm < self.limits.dead_gradient * self.largest_norm and waited >= patience:
            return f"gradient norm {norm:.4g} after {self.largest_norm:.4g}"
        if self._unlearned() and self.median() > RETURNED * self.best and waited >= 2 * patience:
            return f"the loss has gone up, from {self.best:.4g} at best"
        return ""

    def _at_chance(self, accuracy: float | None, examples: int) -> bool:
        """Whether the epoch shows no more than a constant would."""
        if accuracy is None or self.chance is None:
            return self._unlearned()
        margin = CHANCE_DEVIATIONS * math.sqrt(self.chance * (1 - self.chance) / examples)
        return accuracy <= self.chance + margin

    def _unlearned(self) -> bool:
        """Whether the loss is no better than the constant's."""
        return self.median() > (1 - self.limits.dead_loss) * (self.scale or 0)

    def _dead(self, why: str, accuracy: float | None, norm: float) -> Verdict:
        loss = self.median()
        if accuracy is None:
            return self._verdict("dead", f"{why}: loss {loss:.4g}", loss=loss, gradient_norm=norm)
        said = f"accuracy {accuracy:.4g}, which is chance, and {why}: loss {loss:.4g}"
        return self._verdict("dead", said, loss=loss, accuracy=accuracy, gradient_norm=norm)

    def evaluation_alone(self, loss: float) -> bool:
        """Whether the loss in eval mode on training examples does not belong to the training losses."""
        if self.scale is None or self.steps <= self.warm_from:
            return False
        middle = self.median()
        return not math.isfinite(loss) or (
            loss > self.limits.evaluation * middle and loss - middle > self.limits.spike_height * self.scale
        )

    # -- kept and put back

    def state(self) -> dict[str, Any]:
        """All that moves, as plain Python types."""
        moving = {name: getattr(self, name) for name in MOVING}
        return deepcopy({**moving, "losses": list(self.losses), "norms": list(self.norms)})

    def load(self, state: Mapping[str, Any]) -> None:
        for name, value in deepcopy({name: state[name] for name in MOVING}).items():
            setattr(self, name, value)
        self.losses = deque(state["losses"])
        self.norms = deque(state["norms"], maxlen=WINDOW)
        self._ordered = sorted(self.losses)


MOVING = (
    *("steps", "lr", "warm_from", "smoothed", "best", "high", "highest"),
    *("spike", "at_chance", "largest_norm", "events", "omitted"),
)
