"""The reference pages of the documentation, written from the code that they describe.

    python -m tests.docs.reference     write them into docs/reference

A test fails where a page is not what the code says now.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import rich_click as click

import study
from study.arguments import COMPONENTS, argument_types
from study.cli import COMMANDS, cli
from study.cli.studies import schema_text
from study.components.metrics import METRICS
from study.components.thresholds import Thresholds

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from the code: change that. -->"

Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Each page's text, by its file's name."""
    return {
        "study-file.md": page("The study file", STUDY_FILE, *study_file()),
        "components.md": page("Components", COMPONENTS_PAGE, *components()),
        "thresholds.md": page("Thresholds of divergence", *thresholds()),
        "command-line.md": page("Command line", COMMAND_LINE, *command_line()),
        "python.md": page("Python", *python()),
    }


def page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTE, *(part.strip("\n") for part in parts if part))) + "\n"


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(headings), *map(list, rows)]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown: its literals have two backticks."""
    return inspect.cleandoc(docstring or "").replace("``", "`")


def code(value: object) -> str:
    return f"`{value}`"


# -- the study file ----------------------------------------------------------------------------------


def study_file() -> Iterator[str]:
    schema = json.loads(schema_text())
    yield "## At the top"
    yield keys_table("", schema["properties"], schema["required"])
    for name, place in PLACES.items():
        part = schema["$defs"][name]
        yield f"## {place}"
        yield markdown(part["description"])
        yield keys_table(name, part["properties"], part.get("required", ()))


def keys_table(part: str, properties: Schema, required: Iterable[str]) -> str:
    rows = [
        (code(key), kind_of(each), default_of(key, each, required), MEANINGS[part, key])
        for key, each in properties.items()
    ]
    return table(("key", "type", "default", "meaning"), rows)


def default_of(key: str, part: Schema, required: Iterable[str]) -> str:
    if key in required:
        return "required"
    default = part.get("default")
    return (
        "" if default is None or default in ("", [], {}) or isinstance(default, dict) else code(toml(default))
    )


def toml(value: object) -> str:
    return json.dumps(value)


def kind_of(part: Schema) -> str:
    """A key's type with its limits, in words."""
    if "$ref" in part:
        return f"table ({part['$ref'].rpartition('/')[2]})"
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(kind_of(each) for each in part["anyOf"] if shown(each)))
    if "const" in part:
        return code(toml(part["const"]))
    if "enum" in part:
        return ", ".join(code(toml(value)) for value in part["enum"])
    if part["type"] == "array":
        return f"list of {kind_of(part['items'])}"
    return KINDS[part["type"]] + limits_of(part)


def shown(part: Schema) -> bool:
    return part.get("type") != "null" and "not" not in part


def limits_of(part: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {part[name]:g}" for name, sign in signs.items() if abs(part.get(name, 1e99)) < 1e15]
    return f", {', '.join(found)}" if found else ""


# -- components --------------------------------------------------------------------------------------


def components() -> Iterator[str]:
    for part, component in COMPONENTS.items():
        yield f"## {part}"
        names = [""] if component.table is None else component.table.names()
        common = shared_arguments([component.builders(name) for name in names])
        if common:
            yield arguments_table(common)
            yield from filter(None, [markdown(inspect.getdoc(each)) for each in common])
        if component.table is not None:
            rows = (
                (
                    code(name),
                    first_line(component.builders(name)),
                    arguments_text(component.builders(name), common),
                )
                for name in names
            )
            yield table(("name", "what it is", "arguments"), rows)
    yield "## Metrics"
    yield METRICS_TEXT
    rows = (
        (code(name), " ".join(metric.tasks), BETTER[metric.direction]) for name, metric in METRICS.items()
    )
    yield table(("metric", "task", "better"), rows)


Builders = tuple[Callable[..., Any], ...]


def shared_arguments(builders: list[Builders]) -> Builders:
    """The builders that every entry of a component has."""
    return tuple(
        each
        for each in builders[0]
        if all(each in others for others in builders) and (len(builders) > 1 or inspect.isclass(each))
    )


def arguments_table(builders: Builders) -> str:
    rows = (
        (code(name), hint_text(hint), default_text(build, name))
        for build in builders
        for name, hint in argument_types(build).items()
    )
    return table(("argument", "type", "default"), rows)


def arguments_text(builders: Builders, common: Builders) -> str:
    return "; ".join(
        f"`{name}`: {hint_text(hint)} ({default_text(build, name)})"
        for build in builders
        if build not in common
        for name, hint in argument_types(build).items()
    )


def first_line(builders: Builders) -> str:
    paragraphs = [markdown(inspect.getdoc(each)).partition("\n\n")[0] for each in builders]
    return paragraphs[-1].replace("\n", " ")


def default_text(build: Callable[..., Any], name: str) -> str:
    default = inspect.signature(build).parameters[name].default
    if default is inspect.Parameter.empty:
        return "required"
    if default is None:
        return "none"
    return code(f"{default:.6g}" if isinstance(default, float) else toml(default))


def hint_text(hint: Any) -> str:
    """``float, > 0``; ``"easy" or "hard"``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return ", ".join([hint_text(arguments[0]), *filter(None, map(limit_text, arguments[1:]))])
    if origin is Literal:
        return " or ".join(code(toml(value)) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(hint_text(each) for each in arguments if each is not type(None))
    return TYPES.get(hint, getattr(hint, "__name__", str(hint)))


def limit_text(limit: object) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = {name: getattr(limit, name, None) for name in signs}
    return ", ".join(f"{signs[name]} {value:g}" for name, value in found.items() if value is not None)


def thresholds() -> Iterator[str]:
    yield "`divergence.NAME` in a study file sets one, like any hyperparameter; see [Verdicts](verdicts.md)."
    yield arguments_table((Thresholds,))
    yield markdown(Thresholds.__doc__)


# -- the command line --------------------------------------------------------------------------------


def command_line() -> Iterator[str]:
    with click.Context(cli, info_name="study") as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            yield from described(command, click.Context(command, info_name=f"study {name}"), 2)


def described(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.info_name}"
    yield fenced(" ".join([str(context.info_name), *command.collect_usage_pieces(context)]), "text")
    text, _, examples = markdown(command.help).partition("\b\nExamples:\n")
    yield text.replace("\b\n", "")
    rows = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    yield table(("option", ""), ((code(names), text) for names, text in rows if "--help" not in names))
    if examples:
        yield fenced(inspect.cleandoc(f"\n{examples}"), "text")
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from described(
                inner, click.Context(inner, info_name=f"{context.info_name} {name}"), level + 1
            )


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


# -- Python ------------------------------------------------------------------------------------------


def python() -> Iterator[str]:
    yield fenced("import study", "python")
    yield markdown(study.__doc__).partition("\n\n")[0]
    for name in study.__all__:
        member = getattr(study, name)
        yield f"## study.{name}"
        yield fenced(f"{name}{signature(member)}", "text")
        yield markdown(inspect.getdoc(member))
        if inspect.isclass(member) and not issubclass(member, BaseException):
            rows = [(code(each), text) for each, text in public_members(member)]
            yield table(("member", ""), rows) if rows else ""


def signature(member: Any) -> str:
    if inspect.isclass(member) and issubclass(member, BaseException):
        return f"({member.__mro__[1].__name__})"
    text = str(inspect.signature(member)).replace("'", "")
    return re.sub(r"<function .*? at \w+>", "...", text)


def public_members(kind: type) -> Iterator[tuple[str, str]]:
    for name, each in vars(kind).items():
        found = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
        if name.startswith("_") or not inspect.isfunction(found):
            continue
        call = (
            ""
            if isinstance(each, property)
            else signature(found).replace("(self, ", "(").replace("(self)", "()")
        )
        yield f"{name}{call}", markdown(found.__doc__).replace("\n", " ")


def write(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


# -- texts -------------------------------------------------------------------------------------------

STUDY_FILE = """\
TOML; the file's name is the study's. Keys under `scientific`, `nuisance`, `fixed` and `conditional` are
*component.argument*: see [Components](components.md). `study schema --to study.schema.json` writes the same
as a JSON Schema, with which editors complete and check; `study check FILE` says in one line what is wrong.
"""
COMPONENTS_PAGE = """\
What a study file can name, as `study components` lists it (which also has what installed packages add). An
argument is a hyperparameter: it can be compared, tuned or held.
"""
METRICS_TEXT = """\
Of the validation split `val_NAME`, of the test split `test_NAME` (confirm phase only), of the training
examples in eval mode `train_eval_NAME`.
"""
COMMAND_LINE = """\
Exit codes: 0 done; 1 the study could not be finished, and the same command goes on; 2 your mistake, told in
one line; 130 interrupted, and the same command goes on. With `--json` one JSON document stands on standard
output and nothing else; progress goes to standard error.
"""

KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
}
BETTER = {"maximize": "higher", "minimize": "lower", None: "neither"}
TYPES = {int: "whole number", float: "number", bool: "true or false", str: "text"}

PLACES = {
    "Objective": "[objective]",
    "Range": "Ranges",
    "Search": "[search]",
    "Resources": "[resources]",
    "Claim": "[[claims]]",
    "Value": "value",
    "Pair": "difference, ratio",
    "Trend": "trend",
    "Proportion": "proportion",
}
BOUNDS = {
    "equals": "The number, `within` a tolerance.",
    "within": "The tolerance of `equals`.",
    "at_least": "Its least value.",
    "at_most": "Its greatest value.",
}
MEANINGS = {
    ("", "question"): "What the study is to answer.",
    ("", "description"): "More about it, for the report and MLflow.",
    ("", "objective"): "What tuning is judged by.",
    ("", "arms"): "Only these arms, in this order; may stand under `[scientific]`.",
    ("", "exclude"): "All arms but these; may stand under `[scientific]`.",
    ("", "scientific"): "Compared: each combination of the listed values is an arm.",
    ("", "nuisance"): "Tuned afresh inside each arm: a range or a list of choices.",
    ("", "conditional"): 'Holds or tunes where a condition holds: `[conditional."optimizer.name=sgd"]`.',
    ("", "fixed"): "Held.",
    ("", "search"): "How arms are tuned, and how often their best is retrained.",
    ("", "resources"): "What one trial asks of the machine; changes no numbers but through its CPUs.",
    ("", "claims"): "Published statements that the study judges.",
    ("", "profiles"): "Named overrides, `[profiles.NAME]`: `study run NAME --profile P`.",
    ("Objective", "metric"): "A metric of the validation split.",
    ("Objective", "direction"): "Which way is better.",
    ("Range", "low"): "The lower end, included.",
    ("Range", "high"): "The upper end, included.",
    ("Range", "log"): "Sampled by its logarithm.",
    ("Range", "step"): "Of whole numbers: every so many.",
    ("Range", "points"): "How many values a grid takes.",
    ("Search", "sampler"): "Who proposes; `bisect` looks for the largest stable learning rate.",
    ("Search", "trials_per_arm"): "Tuning trials, the same number in every arm.",
    ("Search", "replicates"): "Retrainings of each arm's best, on seeds that all arms share.",
    ("Search", "early_stopping"): "Judges tuning trials inside their arm.",
    ("Search", "grace_epochs"): "Epochs that every trial is given.",
    ("Search", "reduction_factor"): "How far rungs are apart.",
    ("Search", "finish_share"): "Share of the stopped trials that is trained to the end all the same.",
    (
        "Search",
        "lag",
    ): "How many of an arm's latest trials a proposal does not wait for; not given: it waits for none.",
    ("Search", "seed"): "Of the whole study.",
    ("Resources", "cpus_per_trial"): "CPUs, and threads, of a trial.",
    (
        "Resources",
        "gpus_per_trial",
    ): 'GPUs; below 1 a share of one, `"auto"` as many trials on one as are worth it.',
    ("Resources", "max_concurrent"): "Trials at once; by default as many as fit.",
    ("Resources", "nodes"): "Labels, as Ray has them: only nodes of the cluster that have them run trials.",
    ("Resources", "checkpoint_s"): "Seconds of training between checkpoints, at least; 0 for one an epoch.",
    (
        "Resources",
        "silence_s",
    ): "A trial hangs that is silent for ten of its longest epochs, and for so many seconds.",
    ("Resources", "system_metrics"): "Whether each trial's CPU, memory and GPU use is measured.",
    ("Resources", "models"): "Whether each arm's best replicate's network is kept, and logged in MLflow.",
    ("Claim", "source"): "Who says so: a paper and its table, a line.",
    ("Claim", "metric"): "The metric that it speaks of: usually a `test_` one.",
    ("Claim", "text"): "The statement in words.",
    ("Claim", "margin"): "The smallest difference that counts.",
    ("Claim", "test"): "Student's t, or sign flips, which ask for no normality but for six replicates.",
    ("Claim", "ranking"): "Arms, best first.",
    ("Claim", "value"): "An arm's metric.",
    ("Claim", "difference"): "The first arm's metric minus the second's.",
    ("Claim", "ratio"): "The first arm's metric over the second's.",
    ("Claim", "trend"): "Along an axis of the study.",
    ("Claim", "proportion"): "A share of the trials; its metric is `trials`.",
    ("Trend", "of"): "A metric, or a hyperparameter's best value.",
    ("Trend", "along"): "A compared hyperparameter with numbers.",
    ("Trend", "direction"): "`flat`: it changes by less than the margin.",
    ("Proportion", "of"): "What happens in a trial: a verdict, its kind, an event.",
    ("Proportion", "among"): "Only the trials in which this happened.",
    ("Proportion", "arms"): "Only these arms' trials.",
    ("Value", "arm"): "The arm.",
    ("Pair", "arms"): "The two arms.",
    **{(part, key): text for part in ("Value", "Pair", "Proportion") for key, text in BOUNDS.items()},
}

if __name__ == "__main__":
    write()
