"""Rivals by other libraries: an installed one computes the same, and one that is off by a thousandth is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpmjax.benchmarks import gate
from mpmjax.benchmarks.cases import CASES
from mpmjax.ops.membership import Memberships

SIDE = 64
NAMES = ("membership", "overlay", "distance", "density", "label", "gridding", "logratio", "decode", "encode")
"""Not groups: from random starts a mixture need not find them all, and the report then says so."""


@pytest.mark.parametrize("name", NAMES)
def test_each_rival_computes_the_same_or_says_why_not(name: str) -> None:
    for case in CASES[name](np.random.default_rng(5), SIDE):
        able, unable, _ = gate.able_rivals(case)
        assert set(able) | set(unable) == set(case.rivals)
        missing = all("is not installed" in reason for reason in unable.values())
        assert able or missing, f"{name}, {case.variant}: {unable}"
        wrong = [f"{rival}: {reason}" for rival, reason in unable.items() if "something else" in reason]
        assert not wrong, f"{name}, {case.variant}: {wrong}"


@pytest.mark.parametrize("name", ["overlay", "distance", "density", "gridding", "decode"])
def test_a_rival_that_is_off_by_a_thousandth_computes_something_else(name: str) -> None:
    case = next(iter(CASES[name](np.random.default_rng(5), SIDE)))

    def off(call: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: call() * 1.001 + 2e-3

    planted = replace(case, rivals={"planted": off(case.reference)})
    assert "something else" in gate.able_rivals(planted).unable["planted"]


def test_a_rival_of_memberships_that_is_off_computes_something_else() -> None:
    case = next(iter(CASES["membership"](np.random.default_rng(5), SIDE)))

    def planted() -> Memberships:
        found = case.op()
        return Memberships(found.mu + np.float32(2e-3) * found.valid, found.valid, found.overlay)

    assert "something else" in gate.able_rivals(replace(case, rivals={"planted": planted})).unable["planted"]


def test_what_cannot_be_installed_beside_the_package_says_why() -> None:
    case = next(iter(CASES["distance"](np.random.default_rng(5), SIDE)))
    assert "Python below 3.11" in gate.able_rivals(case).unable["EIS Toolkit"]
