"""The rules that others stop trainings by, each as a stream: a loss and a gradient norm in, a flag out."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable

Rule = Callable[[float, float], bool]


def finite_check() -> Rule:
    """The loss or the gradient norm is not finite."""
    return lambda loss, norm: not (math.isfinite(loss) and math.isfinite(norm))


def above(level: float, armed_at: int) -> Rule:
    """A loss above ``level``, from step ``armed_at`` on."""
    step = -1

    def rule(loss: float, norm: float) -> bool:
        nonlocal step
        step += 1
        return step >= armed_at and loss > level

    return rule


def above_average(times: float = 3.0, memory: float = 0.98) -> Rule:
    """A loss above ``times`` its exponential average until the step before."""
    average: float | None = None

    def rule(loss: float, norm: float) -> bool:
        nonlocal average
        flag = average is not None and loss > times * average
        average = loss if average is None else memory * average + (1 - memory) * loss
        return flag

    return rule


def above_best(times: float = 4.0, memory: float = 0.98) -> Rule:
    """fastai's learning-rate finder: the smoothed loss, without its bias, above 4 times its best."""
    average, step, best = 0.0, 0, math.inf

    def rule(loss: float, norm: float) -> bool:
        nonlocal average, step, best
        step += 1
        average = memory * average + (1 - memory) * loss
        smooth = average / (1 - memory**step)
        flag = smooth > times * best
        best = min(best, smooth)
        return flag

    return rule


def kill_loss_spike(window: int = 100, times: float = 2.0, patience: int = 4, loss_cap: float = 10.0) -> Rule:
    """LLM-Foundry's KillLossSpike: the window full, losses of at least twice its mean more than 4 times in
    a row; or half the window above 10, once it has filled twice."""
    losses: deque[float] = deque(maxlen=window)
    high = step = 0

    def rule(loss: float, norm: float) -> bool:
        nonlocal high, step
        step += 1
        flag = False
        if len(losses) == window:
            high = high + 1 if loss >= times * statistics.fmean(losses) else 0
            often = sum(each > loss_cap for each in losses) >= window / 2
            flag = high > patience or (step > 2 * window and often)
        losses.append(loss)
        return flag

    return rule


def skip_step(window: int = 128, sigmas: float = 6.0) -> Rule:
    """OLMo-core's SkipStepOptimizer: loss or gradient norm more than 6 deviations above the mean of the
    last 128, of which half must be there. It skips the step; here that counts as a flag."""
    seen: tuple[deque[float], deque[float]] = (deque(maxlen=window), deque(maxlen=window))

    def rule(loss: float, norm: float) -> bool:
        flag = any(
            len(values) >= window // 2
            and value > statistics.fmean(values) + sigmas * statistics.pstdev(values)
            for values, value in zip(seen, (loss, norm), strict=True)
        )
        for values, value in zip(seen, (loss, norm), strict=True):
            if math.isfinite(value):
                values.append(value)
        return flag

    return rule


def robust_deviation(window: int = 50, deviations: float = 6.0) -> Rule:
    """A loss more than 6 robust deviations above the median of the last 50."""
    losses: deque[float] = deque(maxlen=window)

    def rule(loss: float, norm: float) -> bool:
        flag = False
        if len(losses) == window:
            middle = statistics.median(losses)
            spread = 1.4826 * statistics.median([abs(each - middle) for each in losses])
            flag = loss > middle + deviations * spread
        losses.append(loss)
        return flag

    return rule


def table(classes: int) -> dict[str, Callable[[], Rule]]:
    """The rules by name, for so many classes."""
    level = 2 * math.log(classes)
    return {
        "not finite, from step 0": finite_check,
        "loss > 2 ln K from step 0": lambda: above(level, 0),
        "loss > 2 ln K after step 100": lambda: above(level, 100),
        "loss > 3 x EMA(0.98)": above_average,
        "smoothed > 4 x best (fastai)": above_best,
        "KillLossSpike (LLM-Foundry)": kill_loss_spike,
        "6 sigma of 128 (OLMo-core)": skip_step,
        "robust z > 6 of 50": robust_deviation,
    }
