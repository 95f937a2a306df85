"""Reading study files: found, overlaid, checked; whatever is in them, a study or one line comes out."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from study import studyfile
from study.check import check
from study.errors import StudyError, StudyFileError, UnknownName
from study.spec import StudySpec
from tests.good_study import GOOD, LR, WIDER_LR, changed, spec_of

# -- finding and reading -----------------------------------------------------------------------------


def test_a_bundled_study_is_found_by_its_name() -> None:
    assert studyfile.find("cifar10-acts").name == "cifar10-acts.toml"


def test_a_study_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "my-study_2.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert studyfile.load(str(path)).name == "my-study_2"


def test_a_file_in_this_folder_needs_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")
    assert studyfile.find("mine.toml") == Path("mine.toml")
    with pytest.raises(UnknownName, match=r"\./mine\.toml"):
        studyfile.find("mine")


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(StudyFileError, match="there is no such study file"):
        studyfile.find(str(tmp_path / "mine.toml"))


def test_a_file_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert studyfile.load(str(path)).digest == spec_of().digest


def test_a_place_names_profile_and_overrides() -> None:
    place = studyfile.place(Path("/home/me/mine.toml"), "small", ["search.seed=1", "x.y=2"])
    assert place == "mine.toml (profile small) (--set search.seed=1) (--set x.y=2)"


def test_a_place_does_not_hide_the_key_behind_many_overrides() -> None:
    overrides = [f"fixed.model.k{number}=1" for number in range(50)]
    with pytest.raises(StudyFileError, match=r"^mine\.toml \(51 overrides by --set\): fixed\.model\.width: "):
        spec_of(GOOD, *overrides, "fixed.model.width=[1]")


@pytest.mark.parametrize("name", ["a", "A9", "_x", "cifar10-acts", "a.b+c_d-e", "x" * 64])
def test_a_name_has_letters_digits_and_a_few_signs(name: str) -> None:
    assert studyfile.NAME.match(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "-x", "+x", "a/b", "a\\b", "a b", "a\n", "ü", "x" * 65, "*"]
)
def test_a_name_is_never_a_path_an_option_or_a_pattern(name: str) -> None:
    assert not studyfile.NAME.match(name)


# -- profiles and overrides --------------------------------------------------------------------------


def test_a_profile_changes_what_it_names_and_no_more() -> None:
    spec = spec_of(profile="small")
    assert spec.held["training.epochs"] == 1
    assert {**spec.held, "training.epochs": 2} == spec_of().held


def test_overrides_come_after_the_profile() -> None:
    assert spec_of(GOOD, "fixed.training.epochs=3", profile="small").held["training.epochs"] == 3


def test_the_last_override_counts() -> None:
    assert spec_of(GOOD, "search.seed=1", "search.seed=2").search.seed == 2


def test_a_profile_can_hold_what_the_study_tunes() -> None:
    spec = spec_of(
        changed(("fixed.training.epochs = 1", "fixed.optimizer.weight_decay = 0.1")), profile="small"
    )
    assert spec.held["optimizer.weight_decay"] == 0.1
    assert all("optimizer.weight_decay" not in arm.space.keys for arm in spec.arms())


def test_a_profile_can_tune_what_the_study_holds() -> None:
    text = changed(("fixed.training.epochs = 1", "nuisance.optimizer.momentum = [0.8, 0.9]"))
    spec = spec_of(text, profile="small")
    assert "optimizer.momentum" not in spec.held
    assert all("optimizer.momentum" in arm.space.keys for arm in spec.arms())


def test_a_profile_can_hold_what_the_study_compares() -> None:
    text = changed(
        ("fixed.training.epochs = 1", 'fixed.activation.name = "elu"\nclaims = []'),
    )
    assert [arm.name for arm in spec_of(text, profile="small").arms()] == ["bn", "no-bn"]


def test_what_is_held_by_an_override_is_held_under_every_condition() -> None:
    arms = spec_of(GOOD, "fixed.optimizer.lr=0.5").arms()
    assert [arm.held["optimizer.lr"] for arm in arms] == [0.5] * 4
    assert all("optimizer.lr" not in arm.space.keys for arm in arms)


def test_a_narrower_range_leaves_the_conditions() -> None:
    arms = spec_of(GOOD, "nuisance.optimizer.lr={low=1e-3,high=1e-2,log=true}").arms()
    assert [str(arm.space.active("optimizer.lr", {})) for arm in arms[:2]] == [
        "[0.0001, 1] (log)",
        "[0.001, 0.01] (log)",
    ]


def test_holding_and_writing_so_at_once_are_the_same_study() -> None:
    """Nothing is left of what an override moved, so the digests agree."""
    moved = spec_of(
        GOOD, "fixed.optimizer.lr=0.5", "fixed.optimizer.weight_decay=0.1", "search.trials_per_arm=1"
    )
    conditional = f'[conditional."model.batch_norm=true"]\n{WIDER_LR}\n'
    written = changed(
        (f"[nuisance]\n{LR}\noptimizer.weight_decay = {{ low = 1e-6, high = 1e-2, log = true }}\n", ""),
        (conditional, ""),
        ("momentum = 0.9", "momentum = 0.9, lr = 0.5, weight_decay = 0.1"),
        ("trials_per_arm = 4", "trials_per_arm = 1"),
    )
    assert moved.digest == spec_of(written).digest


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("fixed.model.width=0.5", {"fixed": {"model": {"width": 0.5}}}),
        ("search.seed = 7", {"search": {"seed": 7}}),
        ("fixed.model.batch_norm=true", {"fixed": {"model": {"batch_norm": True}}}),
        ("fixed.optimizer.name=adam", {"fixed": {"optimizer": {"name": "adam"}}}),
        ('fixed.optimizer.name="adam"', {"fixed": {"optimizer": {"name": "adam"}}}),
        ("search.sampler=a=b", {"search": {"sampler": "a=b"}}),
        ("search.sampler=😀", {"search": {"sampler": "😀"}}),
        (
            "scientific.activation.name=['relu', 'elu']",
            {"scientific": {"activation": {"name": ["relu", "elu"]}}},
        ),
        (
            'conditional."model.batch_norm=true".optimizer.lr=[0.1]',
            {"conditional": {"model.batch_norm=true": {"optimizer": {"lr": [0.1]}}}},
        ),
        (
            "nuisance.optimizer.lr={low=0.1, high=1.0}",
            {"nuisance": {"optimizer": {"lr": {"low": 0.1, "high": 1.0}}}},
        ),
    ],
)
def test_an_override_is_read_as_toml_or_as_a_word(text: str, table: dict[str, Any]) -> None:
    assert studyfile.parse_override(text) == table


def test_overlaying_changes_neither_table() -> None:
    base, over = studyfile.parse(GOOD, "x"), {"fixed": {"optimizer": {"lr": 0.1}}}
    before = copy.deepcopy((base, over))
    studyfile.overlay(base, over)
    assert (base, over) == before


# -- whatever is in them -----------------------------------------------------------------------------


def study_or_one_line(text: str) -> StudySpec | None:
    """The only two things that may come of a study file's text."""
    line = ""
    try:
        spec = spec_of(text)
        check(spec)
    except StudyError as error:
        line = str(error)
    else:
        return spec
    assert line.startswith("mine.toml")
    assert line.isprintable()
    assert len(line) < 1500
    return None


def paths_in(table: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = (
        table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    )
    return [path for key, value in entries for path in ((*at, key), *paths_in(value, (*at, key)))]


TABLE = studyfile.parse(GOOD, "good.toml")
PATHS = paths_in(TABLE)
KEYS = sorted({part for path in PATHS for part in path if isinstance(part, str)})

keys = st.sampled_from([*KEYS, "arms", "exclude", "activation.name", "", "name", "__class__"]) | st.text(
    max_size=6
)
scalars = (
    st.sampled_from(
        [0, 1, -1, 0.0, -0.0, 5e-324, 2**53, 10**30, "relu", "elu", "sgd", "all", "../x", "\x1b[2J"]
    )
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.dates()
)
values = st.recursive(
    scalars | st.sampled_from([LR, {"low": 1, "high": 3}, {"low": 0.0, "high": 1.0, "points": 3}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
mutations = st.lists(
    st.tuples(
        st.sampled_from(PATHS), st.sampled_from(["replace", "delete", "rename", "add", "copy"]), keys, values
    ),
    min_size=1,
    max_size=3,
)


def mutate(table: Any, path: tuple[Any, ...], what: str, key: str, value: Any) -> None:
    """Change the table in place at ``path``, where that is still there."""
    for part in path[:-1]:
        if not (isinstance(table, dict) and part in table) and not (
            isinstance(table, list) and part == 0 and table
        ):
            return
        table = table[part]
    last = path[-1]
    if isinstance(table, dict) and last in table:
        old = table[last]
        if what == "delete":
            del table[last]
        elif what == "rename":
            table[key] = table.pop(last)
        elif what == "add":
            table[key] = value
        else:
            table[last] = value if what == "replace" else copy.deepcopy(old)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(mutations)
def test_a_mutated_study_file_is_a_study_or_one_line(changes: list[tuple[Any, str, str, Any]]) -> None:
    table = copy.deepcopy(TABLE)
    for path, what, key, value in changes:
        mutate(table, path, what, key, value)
    spec = study_or_one_line(tomli_w.dumps(table))
    if spec is not None:
        assert spec_of(spec.to_toml()).digest == spec.digest


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet="[]{}=.\"'#,\n \\abn_0123456789-+e:tfu\u202e\x00é", max_size=40))
def test_any_text_is_a_table_or_one_line(text: str) -> None:
    line = ""
    try:
        studyfile.parse(text, "mine.toml")
    except StudyFileError as error:
        line = str(error)
    assert line.isprintable()


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text(max_size=20) | st.from_regex(r"[a-z]{1,6}\.[a-z.\"]{1,9}=.{0,9}"))
def test_any_override_is_a_table_or_one_line(text: str) -> None:
    line = ""
    try:
        studyfile.parse_override(text)
    except StudyFileError as error:
        line = str(error)
    assert line.isprintable()


HOSTILE_SIZES = {
    "choices": changed((LR, f"optimizer.lr = {list(range(60_000))}")),
    "a ranking": changed(('["relu+bn", "elu"]', str(["elu"] * 40_000))),
    "exclusions": changed(("[scientific]\n", f"[scientific]\nexclude = {['elu'] * 40_000}\n")),
    "claims": GOOD.replace(
        "[profiles", '[[claims]]\nsource="x"\nmetric="y"\nranking=["a","b"]\n' * 4000 + "[profiles"
    ),
    "conditions": GOOD
    + "".join(f'[conditional."activation.name=x{n}"]\noptimizer.lr=[1.0]\n' for n in range(4000)),
    "names under conditions": GOOD
    + "".join(
        f'[conditional."dataset.train_size={n}"]\nschedule.name=["cosine","step"]\nloss.name=["cross_entropy"]\n'
        for n in range(1000)
    ),
    "keys": changed(("[fixed]\n", "[fixed]\n" + "".join(f"model.k{n} = 1\n" for n in range(15_000)))),
    "components": changed(("[fixed]\n", "[fixed]\n" + "".join(f"c{n}.x = 1\n" for n in range(10_000)))),
    "a dotted key": f"a{'.a' * 200_000} = 1",
    "a quoted dotted key": 'a."\\""' + '."\\""' * 50_000 + " = 1",
    "a word": "a" * 300_000,
    "quotes": '"' * 300_000,
    "brackets": "[" * 300_000,
    "profiles": GOOD + "".join(f"[profiles.p{n}]\nsearch.seed = {n}\n" for n in range(4000)),
}


@pytest.mark.parametrize("what", HOSTILE_SIZES)
def test_a_study_file_of_hostile_size_is_judged_in_seconds(what: str) -> None:
    began = time.process_time()
    study_or_one_line(HOSTILE_SIZES[what])
    assert time.process_time() - began < 10, "seconds of processor time; each takes well under one"
