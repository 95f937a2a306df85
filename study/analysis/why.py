"""Why a trial ended as it did, in a few plain lines, from its result alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from study.analysis.wording import counted, duration, listed, metric_name, settings
from study.errors import one_line
from study.spec import StudySpec
from study.trial import Row, TrialResult

BLOCKS = "▁▂▃▄▅▆▇█"
BROKEN = "\N{MULTIPLICATION SIGN}"
LAST_LINES = 6
STACK_HEADING = "(most recent call first):"
# A layer with so few units left that are not zero passes nothing on.
SILENT = 0.99
MOST_STEPS = 8
EVENTS = {
    "recovered": ("loss spike", "that it recovered from"),
    "lingering": ("loss spike", "that it was slow to recover from"),
    "spike": ("loss spike", "that was not over at its end"),
    "evaluation_alone": ("evaluation", "out of proportion to the training loss"),
}
STAGES = ("grown", "activation", "gradient", "parameter")


def explain(spec: StudySpec, result: TrialResult) -> list[str]:
    """What happened, most important first; no line has control characters in it."""
    telling = {
        "ok": _ok,
        "pruned": _pruned,
        "diverged": _diverged,
        "stalled": _diverged,
        "failed": _failed,
    }[result.verdict.status]
    lines = [_headline(result), *telling(spec, result), *_events(result), *_settings(spec, result)]
    return [one_line(line) if line == line.lstrip() else f"  {one_line(line)}" for line in lines]


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """The numbers as blocks, the lowest and the highest as the ends of the scale; on a logarithmic one
    where they span decades. A cross where a number is not finite. The last ``width`` of them."""
    shown = [value if value is not None and math.isfinite(value) else None for value in values][-width:]
    known = [value for value in shown if value is not None]
    if not known:
        return BROKEN * len(shown)
    logarithmic = min(known) > 0 and max(known) > 30 * min(known)
    scaled = [None if v is None else math.log(v) if logarithmic else v for v in shown]
    low = min(value for value in scaled if value is not None)
    span = (max(value for value in scaled if value is not None) - low) or 1.0
    return "".join(
        BROKEN if value is None else BLOCKS[min(len(BLOCKS) - 1, int((value - low) / span * len(BLOCKS)))]
        for value in scaled
    )


def number(value: object) -> float | None:
    """A number of an autopsy: its non-finite ones are strings."""
    return float(value) if isinstance(value, int | float | str) else None


def shown(value: object) -> str:
    """``0.0123``, ``2.5e+20``, ``inf``; a dash where there is none."""
    given = number(value)
    return "\N{EN DASH}" if given is None else f"{given:.4g}"


def _headline(result: TrialResult) -> str:
    verdict = result.verdict
    where = "" if verdict.step is None else f" at step {verdict.step}"
    where += "" if verdict.epoch is None else f", in epoch {verdict.epoch}"
    kind = f" ({verdict.kind})" if verdict.kind else ""
    return f"{result.config.id}: {verdict.status}{kind}{where}"


def _settings(spec: StudySpec, result: TrialResult) -> Iterator[str]:
    arm = next(arm for arm in spec.arms() if arm.name == result.config.arm)
    tuned = arm.space.tuned_part(result.config.hyperparameters)
    if tuned:
        yield f"Its settings: {', '.join(settings(tuned))}"


def _events(result: TrialResult) -> Iterator[str]:
    """What happened on the way, by kind, with the steps of the first few."""
    for kind, (noun, rest) in EVENTS.items():
        steps = [str(event["step"]) for event in result.events if event["kind"] == kind]
        if steps:
            listing = ", ".join(steps[:MOST_STEPS]) + (" ..." if len(steps) > MOST_STEPS else "")
            yield f"On the way: {counted(result.count(kind), noun)} {rest}, at step {listing}"


def _ok(spec: StudySpec, result: TrialResult) -> Iterator[str]:
    metric = spec.objective.metric
    value = shown(result.metrics.get(metric))
    epochs = counted(len(result.curve), "epoch")
    yield f"It finished with {metric_name(metric)} {value} after {epochs} in {duration(result.seconds)}."


def _pruned(spec: StudySpec, result: TrialResult) -> Iterator[str]:
    numbers, verdict = result.verdict.numbers, result.verdict
    if not {"rung", "cutoff", "rank"} <= numbers.keys():
        yield verdict.reason
        return
    metric = metric_name(spec.objective.metric)
    better = "above" if spec.objective.direction == "maximize" else "below"
    value = numbers.get("value")
    yield (
        f"Early stopping ({verdict.kind}) ended it after epoch {shown(numbers['rung'])}, its rung: its "
        f"{metric} was {'not finite' if value is None else shown(value)}, and {better} the cut-off "
        f"{shown(numbers['cutoff'])} it would have gone on."
    )
    of = f" of {shown(numbers['of'])}" if numbers.get("of") else ""
    yield f"There it was number {shown(numbers['rank'])}{of} of its arm's trials that had come so far."


def _failed(spec: StudySpec, result: TrialResult) -> Iterator[str]:
    if result.verdict.reason:
        yield result.verdict.reason
    said = result.error if result.error != result.verdict.reason else None
    lines = [line for line in (said or "").splitlines() if line.strip()]
    if stood := _innermost(lines):
        yield "Where it stood, the innermost call first:"
        yield from (f"  {line}" for line in stood)
    elif lines:
        yield f"The traceback's last {counted(len(lines[-LAST_LINES:]), 'line')}:"
        yield from (f"  {line}" for line in lines[-LAST_LINES:])


def _innermost(lines: Sequence[str]) -> Sequence[str]:
    """Of the threads' stacks that faulthandler writes, the innermost calls of the one that trains; empty
    where the lines are something else."""
    starts = [number for number, line in enumerate(lines) if line.endswith(STACK_HEADING)]
    threads = [lines[start + 1 : end] for start, end in itertools.pairwise([*starts, len(lines)])]
    training = [thread for thread in threads if any("study/training.py" in line for line in thread)]
    return [*training, *threads, []][0][:LAST_LINES]


def _diverged(spec: StudySpec, result: TrialResult) -> Iterator[str]:
    if result.verdict.reason:
        yield f"Decided by: {result.verdict.reason}"
    autopsy = result.autopsy
    if not autopsy:
        yield "Nobody looked which layer broke first: the record has no autopsy."
    elif "error" in autopsy:
        yield f"Which layer broke first is not known; the replay itself failed: {autopsy['error']}"
    elif not autopsy["reproduced"]:
        first, last = autopsy["replayed"]
        yield f"Not reproduced: a replay of steps {first} to {last} ended otherwise, so no layer is named."
    else:
        yield from _firsts(autopsy)
        yield from _most_grown(autopsy)
        if result.verdict.status == "stalled":
            yield from _silent(autopsy)
        yield from _cause(autopsy)


def _firsts(autopsy: Mapping[str, Any]) -> Iterator[str]:
    """The four firsts in causal order, and then those that never came."""
    first, last = autopsy["replayed"]
    yield f"What broke first, from a replay of steps {first} to {last} with hooks on every layer:"
    for each in autopsy["firsts"]:
        yield f"  {'had it gone on, ' if each['beyond'] else ''}step {each['step']}: {_first(each, autopsy)}"
    names = {"grown": "a layer past 100 times its first maximum"}
    found = {each["stage"] for each in autopsy["firsts"]}
    missing = [names.get(stage, f"a non-finite {stage}") for stage in STAGES if stage not in found]
    if missing:
        yield f"  not seen: {listed(missing)}"


def _first(each: Mapping[str, Any], autopsy: Mapping[str, Any]) -> str:
    layer = f"{each['layer']} ({each['type']})" if each["type"] else each["layer"]
    if each["stage"] == "grown":
        early = each["step"] == autopsy["replayed"][0] and not autopsy["from_the_start"]
        return (
            f"{layer} is the first layer past 100 times its first maximum: "
            f"{shown(each['value'])} after {shown(each['initial'])}{' (or earlier)' if early else ''}"
        )
    if each["of"].startswith("square of"):
        of = each["of"].removeprefix("square of ")
        return f"the gradient norm overflows: {layer}, {of}: {shown(each['operand'])}, whose square is inf"
    return f"first non-finite {each['stage']}: {layer}, {each['of']}: {each['value']}"


def _most_grown(autopsy: Mapping[str, Any]) -> Iterator[str]:
    """Where no layer was past the bound when the training was stopped: the one nearest to it."""
    if any(each["stage"] == "grown" and not each["beyond"] for each in autopsy["firsts"]):
        return
    ratios = {
        name: (number(row[-1]) or 0.0) / start
        for name, row, first in zip(autopsy["layers"], autopsy["maxima"], autopsy["initial"], strict=True)
        if row and (start := number(first) or 0.0) > 0
    }
    if ratios:
        name = max(ratios, key=ratios.__getitem__)
        yield f"At the end {name} had grown most: {shown(ratios[name])} times its first maximum."


def _silent(autopsy: Mapping[str, Any]) -> Iterator[str]:
    shares = zip(autopsy["layers"], autopsy["zeros"], strict=True)
    dead = [name for name, share in shares if (number(share) or 0.0) > SILENT]
    if dead:
        yield f"At least {SILENT:.0%} of the outputs are zero in {listed(dead)}."


def _cause(autopsy: Mapping[str, Any]) -> Iterator[str]:
    function = f", in {autopsy['operation']}" if autopsy.get("operation") else ""
    broken = [each for each in autopsy["firsts"] if each["stage"] != "grown"]
    if autopsy["cause"] == "growth" and not broken:
        yield "Cause: growth. Activations grew far beyond where they began; none overflowed."
    elif autopsy["cause"] == "growth" and broken[0]["beyond"]:
        yield f"Cause: growth. The numbers grew, and would have overflowed at step {broken[0]['step']}."
    elif autopsy["cause"] == "growth":
        yield "Cause: growth. The numbers grew until they overflowed."
    elif autopsy["cause"]:
        yield f"Cause: an invalid operation{function}. Ordinary numbers went in (0/0, log 0, inf - inf ...)."


def losses(result: TrialResult) -> tuple[str, list[float | None]]:
    """The loss to draw, with what it is: of the last steps where these were replayed, else by epoch."""
    autopsy = result.autopsy or {}
    if autopsy.get("loss"):
        steps = autopsy["steps"]
        return f"loss, steps {steps[0]} to {steps[-1]}", [number(value) for value in autopsy["loss"]]
    return "training loss by epoch", column(result.curve, "train_loss")


def column(curve: Sequence[Row], name: str) -> list[float | None]:
    return [row.get(name) for row in curve]
