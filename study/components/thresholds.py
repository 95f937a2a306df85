"""When a training counts as diverged, dead, spiking or recovered; no table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Interval

Above1 = Annotated[float, Gt(1)]
Positive = Annotated[float, Gt(0)]
Steps = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class Thresholds:
    """The fields are the hyperparameters, keyed ``divergence.*``.

    Losses are told in units of the best constant predictor's (ln K for K balanced classes under
    cross-entropy), so one set of numbers serves every loss and every data set. Numbers that are not
    finite need no threshold: they end a training wherever they come up.

    Warm-up: the first ``warmup_steps`` steps, or the first quarter of an epoch where that is longer, and
    again after every rise of the learning rate.

    Explosion: one loss above ``explosion``; or the smoothed loss (0.9 of it stays each step) above
    ``rise_level`` and above ``rise`` times its own best. Under Adam, whose steps are bounded, trainings come
    back from 30 best constants and learn again (tests/benchmarks/detectors).

    No return: after the warm-up, the median of the last 50 losses above ``no_return`` and above 1.1 times
    the best smoothed loss for ``no_return_steps`` steps in a row, and not coming down: at their end no
    fifth below its highest among them.

    Dead: accuracy at chance for an epoch and a warm-up if the model answers the same whatever it is shown,
    or 99 % of a layer's outputs are zero. Else the median loss has to be no better than the constant's, but
    for ``dead_loss`` of it: for ``dead_epochs`` epochs if the gradient is below ``dead_gradient`` times the
    largest it had at an epoch's end, for twice as many epochs if the loss had been a tenth lower before. In
    regression: that loss, while the model answers alike whatever it is shown, for an epoch and a warm-up.

    Spike, after the warm-up: a loss above its median by ``spike_deviations`` robust standard deviations,
    by ``spike_height``, and ``spike_ratio`` times as high. Recovered: the smoothed loss is back to a tenth,
    or 0.02, above the median before it, within ``recovery_steps`` steps or two epochs, whichever is longer;
    lingering otherwise.

    Evaluation alone is broken: on training examples, in eval mode, the loss is above ``evaluation`` times
    the median training loss, and by ``spike_height``.
    """

    warmup_steps: Steps = 100
    explosion: Above1 = 100.0
    rise: Above1 = 4.0
    rise_level: Above1 = 50.0
    no_return: Above1 = 1.5
    no_return_steps: Steps = 100
    dead_epochs: Annotated[int, Ge(1)] = 3
    dead_loss: Annotated[float, Interval(gt=0, lt=1)] = 0.01
    dead_gradient: Annotated[float, Interval(gt=0, lt=1)] = 0.3
    spike_deviations: Positive = 6.0
    spike_ratio: Above1 = 1.5
    spike_height: Positive = 0.1
    recovery_steps: Steps = 200
    evaluation: Above1 = 3.0
