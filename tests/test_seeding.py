"""Seeds depend on words alone. These numbers are in records: they must never change."""

from __future__ import annotations

import pytest

from study.seeding import derive_seed


@pytest.mark.parametrize(
    ("words", "seed"),
    [
        ((), 0xE3B0C442),
        (("",), 0xE3B0C442),
        (("a",), 0xCA978112),
        (("cifar10-acts", 0, "tune", 3), 2429195953),
        (("cifar10-acts", 0, "confirm", 7), 3800333546),
        (("cifar10-acts", 0, "sampler", "relu+bn", 1), 3225298630),
        (("ключ", 2**32 - 1), 2206385129),
    ],
)
def test_a_seed_is_what_it_always_was(words: tuple[str | int, ...], seed: int) -> None:
    assert derive_seed(*words) == seed


def test_words_are_kept_apart() -> None:
    assert derive_seed("ab", "c") != derive_seed("a", "bc") != derive_seed("abc")


def test_seeds_are_what_numpy_takes() -> None:
    assert all(0 <= derive_seed("seed", number) < 2**32 for number in range(1000))


def test_seeds_hardly_ever_meet() -> None:
    assert len({derive_seed("seed", number) for number in range(10_000)}) > 9_995
