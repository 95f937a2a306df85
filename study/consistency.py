"""The rules of a study that one field alone cannot check: each raises ValueError with a line for the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from study.claims import MAX_ARMS, Claim
from study.errors import shorten
from study.keys import ARM_NAME, COMPONENTS, dotted, flatten, parse_condition
from study.leaves import as_distribution
from study.registry import nearest
from study.space import Condition, Float, Scalar

Section = Mapping[str, Mapping[str, Any]]


class Written(Protocol):
    """What the rules look at of a StudySpec, which is checked by them and so stands above."""

    @property
    def scientific(self) -> Section: ...
    @property
    def nuisance(self) -> Section: ...
    @property
    def fixed(self) -> Section: ...
    @property
    def conditional(self) -> Mapping[str, Section]: ...
    @property
    def compared(self) -> Mapping[str, Sequence[Scalar]]: ...
    @property
    def arms_only(self) -> Sequence[str] | None: ...
    @property
    def exclude(self) -> Sequence[str]: ...
    @property
    def claims(self) -> Sequence[Claim]: ...
    def all_arms(self) -> Mapping[str, Mapping[str, Scalar]]: ...


def check_sections(spec: Written) -> None:
    places: dict[str, str] = {}
    for section in ("scientific", "nuisance", "fixed"):
        _check_components(section, getattr(spec, section))
        for key in flatten(getattr(spec, section)):
            if key in places:
                raise ValueError(
                    f"{section}.{key}: stands in [{places[key]}] too; a hyperparameter is compared, tuned "
                    "or held, so keep one of them"
                )
            places[key] = section
    conditions = {text: parse_condition(text) for text in spec.conditional}
    for text, condition in conditions.items():
        _check_components(f'conditional."{text}"', spec.conditional[text])
        _check_condition(spec, text, condition, places)
    _check_conditional_keys(spec, conditions)


def _check_components(section: str, table: Mapping[str, Mapping[str, object]]) -> None:
    for component in table:
        if component not in COMPONENTS:
            key = f"{section}.{dotted([component])}"
            raise ValueError(f"{key}: unknown component; {nearest(component, COMPONENTS)}")


def _check_condition(spec: Written, text: str, condition: Condition, places: Mapping[str, str]) -> None:
    place = f'conditional."{text}"'
    if condition.key not in places:
        raise ValueError(
            f"{place}: {condition.key} is not set outside [conditional]; "
            f"{nearest(condition.key, places) if places else 'set it in [scientific], [nuisance] or [fixed]'}"
        )
    section = places[condition.key]
    possible = as_distribution(flatten(getattr(spec, section))[condition.key])
    if isinstance(possible, Float):
        raise ValueError(
            f"{place}: {condition.key} is drawn from a range of real numbers, so it hardly ever is "
            f"{condition.value}; give it a list of values, or drop the condition"
        )
    # A held value may be another one in another profile.
    if condition.value not in possible and section != "fixed":
        values = ", ".join(shorten(value) for value in possible.ends)
        raise ValueError(f"{place}: {condition.key} never has that value; its values: {values}")


def _check_conditional_keys(spec: Written, conditions: Mapping[str, Condition]) -> None:
    deciding = {condition.key for condition in conditions.values()}
    first: dict[str, str] = {}
    for text, condition in conditions.items():
        for key in flatten(spec.conditional[text]):
            place = f'conditional."{text}".{key}'
            if key in spec.compared:
                raise ValueError(
                    f"{place}: is compared in [scientific], so it cannot be conditional; drop one of them"
                )
            if key in deciding:
                raise ValueError(
                    f"{place}: decides a condition, so it cannot stand under one; "
                    "set it outside [conditional]"
                )
            other = first.setdefault(key, text)
            if other != text and (conditions[other].key != condition.key or conditions[other] == condition):
                raise ValueError(
                    f'{place}: stands under conditional."{other}" too, and both can hold; keep one of them'
                )


def check_arms(spec: Written) -> None:
    count = 1
    for choices in spec.compared.values():
        count *= len(choices)
    if count > MAX_ARMS:
        raise ValueError(
            f"scientific: makes {count} arms, at most {MAX_ARMS} are allowed; compare fewer values"
        )
    every = spec.all_arms()
    if len(every) < count:
        raise ValueError("scientific: two combinations make arms of the same name; drop one of the values")
    for name in every:
        if not ARM_NAME.fullmatch(name):
            raise ValueError(
                f"scientific: makes an arm called {shorten(name)}; arms' names have 1 to 200 letters, digits "
                "and ._+-, so compare fewer or other values"
            )
    for name, where in _named_arms(spec):
        if name not in every:
            raise ValueError(f"{where}: no arm is called {shorten(name)}; {nearest(name, every)}")
    names = spec.arms_only or []
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"arms: names {shorten(name)} twice; name each arm once")
        if name in spec.exclude:
            raise ValueError(f"arms: {shorten(name)} is also in exclude; keep it in one of them")
    if not names and set(every) <= set(spec.exclude):
        raise ValueError("exclude: leaves no arm; exclude fewer")


def _named_arms(spec: Written) -> Iterator[tuple[str, str]]:
    yield from ((name, "arms") for name in spec.arms_only or ())
    yield from ((name, "exclude") for name in spec.exclude)
    for index, claim in enumerate(spec.claims):
        yield from ((name, f"claims[{index}].{claim.kind}") for name in claim.arms)
