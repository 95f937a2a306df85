"""Tables answer a typo with the nearest name."""

from __future__ import annotations

import pytest

from study.errors import UnknownName
from study.registry import Registry, nearest


def test_an_entry_is_found_by_its_name() -> None:
    assert Registry("activation", relu=1, elu=2)["elu"] == 2


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"^unknown activation 'rellu'; did you mean relu or elu\?$"):
        Registry("activation", relu=1, elu=2, tanh=3)["rellu"]


def test_a_name_that_is_like_none_is_answered_with_all() -> None:
    assert nearest("zzz", ["relu", "elu"]) == "known: elu, relu"


def test_a_hint_lists_twenty_names_at_most() -> None:
    hint = nearest("zzz", (f"name{number:03}" for number in range(1000)))
    assert hint.endswith("name019 and 980 more")


def test_looking_for_a_name_does_not_add_it() -> None:
    table = Registry("activation", relu=1)
    assert "elu" not in table
    with pytest.raises(UnknownName):
        table["elu"]
    assert list(table) == ["relu"]
