"""What the divergence monitor costs a healthy training, as a share of its step time.

    python -m tests.benchmarks.monitor_overhead
    python -m tests.benchmarks.monitor_overhead --widths 1 --steps 200 --device cuda

Shares of the processor's time in all steps (on CUDA the host's alone, and nobody waits for the device):
``rules``: the monitor's own, from the loss's tensor to its verdict; ``norm``: the global gradient norm;
``check``: of these, the look at all parameters and buffers, a fiftieth of what one costs. Their sum must
stay below 2 %. Times are this thread's own, so they do not grow when the machine is busy.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass

import torch
from torch.nn.utils import get_total_norm

from study.devices import environment, pick_device, reproducible
from study.divergence import CHECK_EVERY, Monitor
from study.steps import Trial, batches, differentiate, update
from tests.benchmarks.recorder_overhead import say, trial_of

BOUND = 0.02
WARM_UP = 20


@dataclass
class Seconds:
    total: float = 0.0
    rules: float = 0.0
    norm: float = 0.0
    check: float = 0.0

    @property
    def share(self) -> float:
        return (self.rules + self.norm) / self.total


def measure(trial: Trial, steps: int) -> Seconds:
    """``trial``'s own monitor knows its scale and its model."""
    deaf = Monitor(math.log(10), epoch_steps=trial.training.steps)
    spent, done = Seconds(), 0
    trial.model.train()
    while done < steps + WARM_UP:
        for images, labels in batches(trial):
            before = time.thread_time()
            gradient = differentiate(trial, images, labels)
            measured = time.thread_time()
            trial.monitor.step(gradient.loss, gradient.norm, float(trial.schedule.get_last_lr()[0]))
            ruled = time.thread_time()
            # Once more, for their times alone.
            get_total_norm([p.grad for p in trial.parameters if p.grad is not None])
            normed = time.thread_time()
            deaf.step(gradient.loss, gradient.norm, 0.1)
            bare = time.thread_time()
            update(trial)
            after = time.thread_time()
            done += 1
            if done > WARM_UP:
                spent.total += ruled - before + after - bare
                spent.rules += ruled - measured
                spent.norm += normed - ruled
                spent.check += (ruled - measured) - (bare - normed)
        trial.position.turn()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.1, 0.25, 1.0])
    parser.add_argument("--size", type=int, default=16, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    device = pick_device(asked.device)
    worst = 0.0
    with reproducible(device, 0, 1):
        where = environment(device, "fp32")
        say(f"{where['device_name']}, {where['threads']} thread, torch {torch.__version__}")
        say(f"{asked.steps} steps, batch {asked.batch_size}, {asked.size}x{asked.size} pixels, batch norm")
        say(f"width   ms/step   rules    norm     both     (check, 1 step in {CHECK_EVERY})")
        for width in asked.widths:
            steps = max(100, round(asked.steps * min(1, 0.1 / width)))
            spent = measure(trial_of(width, asked.size, asked.batch_size, "sgd", device), steps)
            worst = max(worst, spent.share)
            per_step = 1e3 * spent.total / steps
            shares = [spent.rules, spent.norm, spent.rules + spent.norm, spent.check]
            cells = "  ".join(f"{share / spent.total:7.3%}" for share in shares)
            say(f"{width:5g} {per_step:9.2f}  {cells}")
    sys.exit(f"above {BOUND:.0%}: {worst:.2%}" if worst > BOUND else 0)


if __name__ == "__main__":
    main()
