"""The network at other sizes: one size differs from the middle row, and every member of every rival is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpmjax.benchmarks import gate, sweep_cases
from mpmjax.benchmarks.cases import CASES, SEVERAL_CORES
from mpmjax.benchmarks.sweep_cases import SIZES, Sizes


def of(sizes: Sizes) -> gate.Case:
    rng = np.random.default_rng(4)
    arrays = sweep_cases.inputs.network(rng, sizes.members, sizes.layers, sizes.hidden, 8, sizes.features)
    return sweep_cases.case(sizes, arrays, rng, cells=50)


def test_each_row_leaves_the_middle_in_one_size() -> None:
    middle = SIZES[0]
    assert len(set(SIZES)) == len(SIZES)
    for sizes in SIZES[1:]:
        assert sum(one != other for one, other in zip(sizes, middle, strict=True)) == 1
    assert "sweep" in CASES
    assert "sweep" not in SEVERAL_CORES


@pytest.mark.parametrize("members", [1, 3])
def test_rivals_give_all_members(members: int) -> None:
    case = of(Sizes(features=2, hidden=8, layers=3, members=members))
    verdict = gate.check(case)
    assert verdict.passed, str(verdict)
    able, unable, errors = gate.able_rivals(case)
    assert "NumPy float32, chunks" in able
    assert not [reason for reason in unable.values() if "something else" in reason], unable
    assert max(errors.values()) < 1e-5


def test_a_member_that_is_off_is_seen() -> None:
    case = of(Sizes(hidden=8, layers=3, members=3))

    def last_is_off() -> dict[str, np.ndarray]:
        found = {name: values.copy() for name, values in sweep_cases.joined(case.op()).items()}
        found["z"][-1] += 1e-3
        return found

    assert not gate.check(replace(case, op=last_is_off)).passed
    one_less = replace(case, op=lambda: {name: a[:-1] for name, a in sweep_cases.joined(case.op()).items()})
    assert "shape" in gate.check(one_less).complaint


def test_rows_take_about_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Sizes, int]] = []
    monkeypatch.setattr(sweep_cases, "case", lambda sizes, _arrays, _rng, cells: made.append((sizes, cells)))
    list(sweep_cases.sweep(np.random.default_rng(0), 2048))
    assert [sizes for sizes, _ in made] == list(SIZES)
    work = {
        sizes: cells * sizes.members * sweep_cases.operations(
            sweep_cases.inputs.network(np.random.default_rng(0), 1, sizes.layers, sizes.hidden, 8, sizes.features)
        )
        for sizes, cells in made
    }  # fmt: skip
    assert max(work.values()) < 1.5 * work[SIZES[0]]
    assert min(work.values()) > work[SIZES[0]] / 6, "rows that are over in a moment are all noise"
