"""A new study file: a few answers, written out with a comment on every part."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.errors import StudyFileError, shorten
from study.keys import parse_scalar
from study.space import Scalar

SCHEMA = "study.schema.json"
# From this ratio of its ends on, a range is one of orders of magnitude.
LOG_FROM = 100

Leaf = dict[str, Scalar] | list[Scalar]
Held = dict[str, dict[str, Scalar]]


@dataclass(frozen=True)
class Usual:
    """What a task's studies are usually judged by, and made of; ``compare`` is what a first one compares."""

    metric: str
    direction: str
    loss: str
    model: str
    compare: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """What a new study compares, tunes and holds. ``compared`` has a list of values for each
    *component.argument*, ``tuned`` a range or a list of choices; ``file`` is the user's own data, for the
    data sets that are read from one, and ``examples`` how many it has to train on. ``own_rate``: the range of
    the learning rate is the user's."""

    name: str
    compared: Mapping[str, list[Scalar]]
    tuned: Mapping[str, Leaf]
    dataset: str = "digits"
    file: str = ""
    examples: int | None = None
    task: str = "classification"
    model: str = ""
    optimizer: str = "sgd"
    epochs: int = 10
    trials: int = 8
    replicates: int = 8
    question: str = ""
    arms: Sequence[str] = field(default=())
    own_rate: bool = False

    @property
    def usual(self) -> Usual:
        return USUAL[self.task]

    def held(self) -> Held:
        """What is held: nothing that is compared or tuned, and no argument of a component whose name is."""
        model = self.model or self.usual.model
        held: Held = {
            "dataset": {"name": self.dataset, **({"path": self.file} if self.file else {})},
            "model": {"name": model, **WIDTHS.get(model, {})},
            "activation": {"name": "relu"},
            "loss": {"name": self.usual.loss},
            "optimizer": {"name": self.optimizer, **MOMENTA.get(self.optimizer, {})},
            "schedule": {"name": "cosine"},
            "training": {"epochs": self.epochs, "batch_size": batch_size_for(self.examples)},
        }
        taken = {*self.compared, *self.tuned}
        kept = {component: table for component, table in held.items() if f"{component}.name" not in taken}
        rest = {
            component: {key: value for key, value in table.items() if f"{component}.{key}" not in taken}
            for component, table in kept.items()
        }
        return {component: table for component, table in rest.items() if table}

    def conditional(self) -> dict[str, dict[str, Leaf | Scalar]]:
        """Of optimizers that are compared, each one's own: at one shared range, or without its momentum, one
        of them would lose by that alone. What is tuned or compared by the user's wish stays as it is."""
        wanted = {*self.compared, *(self.tuned if self.own_rate else ())}
        found: dict[str, dict[str, Leaf | Scalar]] = {}
        for name in map(str, self.compared.get("optimizer.name", [])):
            own: dict[str, Leaf | Scalar] = dict(MOMENTA.get(name, {}))
            if name in RATES:
                low, high = RATES[name]
                own["lr"] = {"low": low, "high": high, "log": True}
            table = {
                f"optimizer.{key}": leaf for key, leaf in own.items() if f"optimizer.{key}" not in wanted
            }
            found |= {f"optimizer.name={name}": table} if table else {}
        return found

    def example(self) -> str:
        """A condition that the file can have."""
        key = "model.batch_norm" if "model.batch_norm" in self.compared else next(iter(self.compared))
        value = self.compared[key][0]
        return f"{key}={value if isinstance(value, str) else toml(value)}"

    def asks(self) -> str:
        """The question, or one that says what is compared."""
        parts = [key.split(".") for key in self.compared]
        varied = [part if argument == "name" else argument.replace("_", " ") for part, argument in parts]
        verb = "is" if len(varied) == 1 else "are"
        data = Path(self.file).name or self.dataset
        return self.question or f"Which {' and '.join(varied)} {verb} best on {data}?"


def batch_size_for(examples: int | None) -> int:
    """The usual one, or a power of two of which four or more make up so few training examples."""
    if examples is None or examples >= 4 * USUAL_BATCH:
        return USUAL_BATCH
    return 1 << max(0, (examples // 4).bit_length() - 1)


def written(draft: Draft) -> str:
    """The study file's text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 -- TOML, not HTML; every value goes through the filter
        loader=PackageLoader("study", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["toml"] = toml
    return environment.get_template("study.toml.j2").render(
        **{key: getattr(draft, key) for key in ("name", "compared", "tuned", "arms")},
        metric=draft.usual.metric,
        direction=draft.usual.direction,
        trials=draft.trials,
        replicates=draft.replicates,
        question=draft.asks(),
        held=draft.held(),
        conditional=draft.conditional(),
        example=draft.example(),
        schema=SCHEMA,
    )


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(leaf)}' for key, leaf in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def parse_compared(text: str) -> tuple[str, list[Scalar]]:
    """``activation.name=relu,elu``."""
    return _parse(text, "--compare", "activation.name=relu,elu", _choices)


def parse_tuned(text: str) -> tuple[str, Leaf]:
    """``optimizer.lr=1e-4:1e-1``, a range, or ``training.batch_size=32,64``, a choice."""
    return _parse(text, "--tune", "optimizer.lr=1e-4:1e-1", lambda v: _range(v) if ":" in v else _choices(v))


def _parse(text: str, option: str, example: str, read: Callable[[str], Any]) -> tuple[str, Any]:
    key, equals, value = (part.strip() for part in text.partition("="))
    try:
        if not equals or key.count(".") != 1:
            raise ValueError
        return key, read(value)
    except ValueError as error:
        place = f"{option} {shorten(text)}"
        raise StudyFileError(place, "must read component.argument=VALUES", None, f"e.g. {example}") from error


def _choices(text: str) -> list[Scalar]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ValueError("an empty value")
    return [parse_scalar(part) for part in parts]


def _range(text: str) -> dict[str, Scalar]:
    """Of orders of magnitude where its ends are far apart."""
    low, high = (parse_scalar(part.strip()) for part in text.split(":"))
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        raise ValueError("a range has numbers for ends")
    wide = low > 0 and high >= LOG_FROM * low
    return {"low": low, "high": high, **({"log": True} if wide else {})}


USUAL_BATCH = 64
# Learning rates, as in search_spaces/cifar10-optimizers.toml: three decades or more around the usual one.
RATES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("adam", "adamw", "nadam", "radam", "rmsprop"), (1e-5, 0.1)),
    **dict.fromkeys(("sgd", "asgd"), (1e-3, 3.0)),
    "adagrad": (3e-4, 1.0),
    "adadelta": (1e-2, 30.0),
    "adamax": (3e-5, 0.3),
}

# What goes with a name, where it has such an argument.
WIDTHS: Mapping[str, dict[str, Scalar]] = {"all_cnn_c": {"width": 0.25}}
MOMENTA: Mapping[str, dict[str, Scalar]] = {"sgd": {"momentum": 0.9}}
USUAL: Mapping[str, Usual] = {
    "classification": Usual(
        *("val_accuracy", "maximize", "cross_entropy", "all_cnn_c"),
        compare=("activation.name=relu,elu", "model.batch_norm=true,false"),
    ),
    # By a metric of its own, whatever the loss that is trained on.
    "regression": Usual("val_mae", "minimize", "mse", "mlp", compare=("loss.name=mse,mae",)),
}
