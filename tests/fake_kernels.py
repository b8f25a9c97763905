"""Kernels of the memberships for the made-up card: they look every value up in its table and join by the mean."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cupy import Card, memory_at
from fuzzy_stacks import layer_of

from mpmjax.ops import cuda
from mpmjax.ops.gpu import membership as gpu
from mpmjax.ops.plan import RECORD, MembershipPlan, Overlay, plan_memberships
from mpmjax.types import Membership

MEMOS = (cuda.refusal, cuda._function, cuda._module, cuda._processors)


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Card]:
    """A made-up card with these kernels in CuPy's place; what is remembered for a process stays with it."""

    def forget() -> None:
        for memo in MEMOS:
            memo.cache_clear()
        gpu._uploaded.clear()

    forget()
    card = Card()
    card.kernels = {name: kernel_of(name) for name in names()}
    monkeypatch.setitem(sys.modules, "cupy", card)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    yield card
    forget()


def names() -> list[str]:
    """Of every kernel that can be asked for."""
    choices = itertools.product(gpu.DTYPES, gpu.ORDERS, (None, Overlay("mean")), (True, False))
    return sorted({gpu.kernel_name(*choice) for choice in choices})


def kernel_of(name: str) -> Any:
    """A kernel for layers with tables: it reads what its pointers point to, as the real one does."""

    def kernel(*arguments: Any) -> None:
        raw, given, layers, tables, _, count, cells, mu, valid, weights, _, _, overlay = arguments
        records = memory_at(layers.data.ptr, count, RECORD)
        answers = np.full((count, cells), np.nan, np.float32)
        for index, record in enumerate(records):
            bits = memory_at(memory_at(raw.data.ptr, count, np.uint64)[index], cells, np.uint8)
            answers[index] = memory_at(tables.data.ptr, tables.size, np.float32)[record["table"] + bits]
            mask = memory_at(given.data.ptr, count, np.uint64)[index]
            if mask:
                answers[index, memory_at(mask, cells, np.uint8) == 0] = np.nan
        good = ~np.isnan(answers)
        filled = np.where(good, answers, np.float32(0.0))
        if name != "membership_overlay":
            assert mu.dtype == ("float16" if "f16" in name else "float32")
            turn = "_cell_" in name
            mu.reshape(-1)[:] = (filled.T if turn else filled).astype(mu.dtype).reshape(-1)
            valid.reshape(-1)[:] = (good.T if turn else good).reshape(-1)
        if name.endswith("_overlay"):
            shares = memory_at(weights.data.ptr, count, np.float64)[:, None] * good
            overlay.reshape(-1)[:] = (shares * filled).sum(axis=0) / shares.sum(axis=0)

    return kernel


def ramp_plan(layers: int = 3) -> MembershipPlan:
    fitted = [Membership("linear", {"lo": 0.0, "hi": 100.0 + 50.0 * index}) for index in range(layers)]
    return plan_memberships([layer_of("uint8", f"layer {index}", nodata=7.0) for index in range(layers)], fitted)
