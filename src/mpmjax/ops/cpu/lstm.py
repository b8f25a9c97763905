"""The scorer on the CPU, from raw values or memberships to maps, in one pass over blocks of cells that stay in cache.

A block is BLOCK cells that are to be scored, gathered from wherever they lie: those without data are passed over. All
members score it before the next one comes, so nothing of it goes to memory but its maps. What a cell gets depends on
its own values alone, to the bit, wherever it lies and however many cells come with it.

All but the networks is compiled once and kept on disk; network.py says what becomes of those.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu import members, network, scores, weights
from mpmjax.ops.cpu.stretch import fuzzify_stretch, records_of
from mpmjax.ops.cpu.unit import BLOCK
from mpmjax.ops.plan import MembershipPlan

STRETCH = 8192
"""Cells whose memberships are made at a time: 5 bytes a layer and cell, which stay in the L2 cache."""


class Room(NamedTuple):
    """Memory of one thread."""

    block: np.ndarray
    told: Any
    mu: np.ndarray
    valid: np.ndarray
    cells: np.ndarray


class Cpu:
    """A Screener's arrays, packed; a form of ops/lstm.py. Safe to call from many threads.

    Args:
        arrays: as reference/lstm.py documents them; without those of the groups, of the network only.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._network = weights.pack(arrays)
        self._members, self._layers = self._network.order.shape
        hidden, self._latent = arrays["lat_w"].shape[1:]
        self._features = arrays["enc_wx"].shape[1]
        self._places = network.plan_places(self._layers, hidden, self._features, self._latent)
        self._program = network.program(hidden, self._features, self._latent)
        self._rules = members.pack(arrays) if "group_mean" in arrays else None
        self._own = threading.local()

    def score(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Maps of mu float32 [L, F, n] and valid bool [L, n], contiguous: FLOATS as float32 [n], CLASSES as uint8."""
        cells, room = valid.shape[1], self._room()
        floats = np.empty((len(members.FLOATS), cells), np.float32)
        classes = np.empty((len(members.CLASSES), cells), np.uint8)
        _score(self._program, self._network, self._places, self._rules, room, mu, valid, floats, classes)
        return dict(zip((*members.FLOATS, *members.CLASSES), (*floats, *classes), strict=True))

    def reconstruct(self, mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Latents `z` float32 [E, d, n] and residuals `e` float32 [E, L, n], 0 where missing."""
        cells = valid.shape[1]
        z = np.empty((self._members, self._latent, cells), np.float32)
        e = np.empty((self._members, self._layers, cells), np.float32)
        room = self._room()
        _reconstruct(self._program, self._network, self._places, room.block, mu, valid, z, e)
        return {"z": z, "e": e}

    def screen(
        self,
        values: Sequence[np.ndarray],
        plan: MembershipPlan,
        given: Sequence[np.ndarray] | np.ndarray,
        wanted: np.ndarray,
        min_coverage: float,
        floats: Sequence[np.ndarray],
        classes: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Maps of the wanted cells that have enough layers, from raw values; other cells of the maps stay as they are.

        Args:
            values: L contiguous arrays of n cells in the planned dtypes.
            given: L masks, contiguous bool of n, False where missing.
            wanted: bool of n.
            min_coverage: share of layers that a cell must have.
            floats, classes: the first so many maps of FLOATS, float32 of n, and CLASSES, uint8 of n; contiguous.

        Returns:
            Which cells were scored, bool of the shape of `wanted`.

        Raises:
            ValueError: the network takes more features of a layer than its membership.
        """
        if self._features != 1:
            raise ValueError(
                f"raw values give one feature a layer, their membership; this network takes {self._features}: make "
                "them first, and score those"
            )
        scored = np.zeros(wanted.shape, np.bool_)
        room = self._room()
        _screen(
            self._program,
            self._network,
            self._places,
            self._rules,
            room,
            records_of(values, plan, given),
            wanted.reshape(-1),
            min_coverage,
            tuple(array.reshape(-1) for array in floats),
            tuple(array.reshape(-1) for array in classes),
            scored.reshape(-1),
        )
        return scored

    def _room(self) -> Room:
        if not hasattr(self._own, "room"):
            self._own.room = Room(
                network.memory(self._places),
                None if self._rules is None else members.said(self._rules),
                np.empty(self._layers * STRETCH, np.float32),
                np.empty(self._layers * STRETCH, np.uint8),
                np.empty(BLOCK, np.int64),
            )
        return self._own.room


@compiled
def _fill(places, block, x, valid, start):
    """Cells from `start` on to the block; where there are no more, cells without a layer. Returns how many there are.

    By slices, of which LLVM knows that no index is negative: else it makes no vectors of these loops.
    """
    layers, features, cells = x.shape
    size = min(BLOCK, cells - start)
    counts = block[places.counts : places.counts + BLOCK]
    counts[:] = 0.0
    for layer in range(layers):
        there = valid[layer, start : start + size]
        mask = block[places.mask + layer * BLOCK :][:BLOCK]
        for i in range(size):
            mask[i] = np.float32(there[i])
        mask[size:] = 0.0
        for i in range(BLOCK):
            counts[i] += mask[i]
        for feature in range(features):
            values = x[layer, feature, start : start + size]
            target = block[places.x + (layer * features + feature) * BLOCK :][:BLOCK]
            for i in range(size):
                target[i] = values[i] if there[i] else np.float32(0.0)
            target[size:] = 0.0
    return size


@compiled
def _score(program, arrays, places, rules, room, x, valid, floats, classes):
    block, told = room.block, room.told
    for start in range(0, x.shape[2], BLOCK):
        size = _fill(places, block, x, valid, start)
        _block(program, arrays, places, rules, x.shape[1], block, told)
        for k in range(floats.shape[0]):
            floats[k, start : start + size] = told.floats[k, :size]
        for k in range(classes.shape[0]):
            classes[k, start : start + size] = told.classes[k, :size]


@compiled
def _reconstruct(program, arrays, places, block, x, valid, z, e):
    layers, features = x.shape[:2]
    for start in range(0, x.shape[2], BLOCK):
        size = _fill(places, block, x, valid, start)
        for member in range(z.shape[0]):
            program(arrays, places, block, member)
            for j in range(z.shape[1]):
                z[member, j, start : start + size] = block[places.latent + j * BLOCK :][:size]
            for layer in range(layers):
                mine = block[places.x + layer * features * BLOCK :][:size]
                out, mask = block[places.out + layer * BLOCK :][:size], block[places.mask + layer * BLOCK :][:size]
                residual = e[member, layer, start : start + size]
                for i in range(size):
                    residual[i] = (mine[i] - out[i]) * mask[i]


@compiled
def _block(program, arrays, places, rules, features, block, told):
    """Maps of the cells in the block, to told.floats and told.classes."""
    for member in range(arrays.order.shape[0]):
        program(arrays, places, block, member)
        members.judge(rules, features, places, block, told, member)
    scores.finish(rules, features, places, block, told)


@compiled
def _screen(program, arrays, places, rules, room, records, wanted, min_coverage, floats, classes, scored):
    layers, cells, waiting = places.mask // BLOCK, wanted.size, 0
    block, told, mu, valid, chosen = room
    for start in range(0, cells, STRETCH):
        size = min(STRETCH, cells - start)
        if not _any(wanted, start, size):
            continue
        fuzzify_stretch(records, start, size, mu, valid)
        for i in range(size):
            if not wanted[start + i]:
                continue
            count = 0
            for layer in range(layers):
                count += valid[layer * size + i]
            if count / layers < min_coverage:
                continue
            for layer in range(layers):
                block[places.x + layer * BLOCK + waiting] = mu[layer * size + i]
                block[places.mask + layer * BLOCK + waiting] = valid[layer * size + i]
            block[places.counts + waiting] = count
            chosen[waiting] = start + i
            scored[start + i] = True
            waiting += 1
            if waiting == BLOCK:
                _block(program, arrays, places, rules, 1, block, told)
                _scatter(told, chosen, waiting, floats, classes)
                waiting = 0
    if waiting > 0:
        for place in range(places.x, places.rows):
            if place % BLOCK >= waiting:
                block[place] = 0.0  # cells without a layer
        _block(program, arrays, places, rules, 1, block, told)
        _scatter(told, chosen, waiting, floats, classes)


@compiled
def _any(wanted, start, size):
    found = 0
    for i in range(start, start + size):
        found += wanted[i]
    return found > 0


@compiled
def _scatter(told, chosen, count, floats, classes):
    for k in range(len(floats)):
        for i in range(count):
            floats[k][chosen[i]] = told.floats[k, i]
    for k in range(len(classes)):
        for i in range(count):
            classes[k][chosen[i]] = told.classes[k, i]
