"""Connected components over strips, in one streaming pass: memory O(strip + number of labels).

Components that are too small to be asked for and touch no seam are forgotten with their strip: on speckled maps that is
nearly all of them, which would take gigabytes on a map of 10^9 cells.

Each strip is labelled by itself (two passes, union-find). What touches across a seam is joined by a union-find over
the strips' labels, which needs nothing of a strip but its last row. Every set keeps its smallest label as the root.
Strips come in order and are labelled in row-major order, so that root is the label of the component's first cell, and
numbering the roots in order gives the numbers of reference/label.py, whatever the height of the strips.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mpmjax.ops._compile import compiled


@compiled
def _root(parents, node):
    """The root of a node; halves the path on the way."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _join(parents, a, b):
    """Join the sets of two nodes under the smaller root."""
    a, b = _root(parents, a), _root(parents, b)
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@compiled
def _label_strip(mask, labels):
    """Number the components of bool [h, w] into int32 [h, w] as reference/label.py does; returns their sizes, int64.

    Of the four neighbours already seen, those that touch each other are in one set already: only a cell whose right
    upper neighbour is labelled and whose upper one is not can join two sets.
    """
    height, width = mask.shape
    parents = np.empty(((height + 1) // 2) * ((width + 1) // 2) + 1, np.int32)
    n = 0
    for i in range(height):
        for j in range(width):
            labels[i, j] = 0
            if not mask[i, j]:
                continue
            up = labels[i - 1, j] if i > 0 else 0
            left = labels[i, j - 1] if j > 0 else 0
            up_left = labels[i - 1, j - 1] if i > 0 and j > 0 else 0
            up_right = labels[i - 1, j + 1] if i > 0 and j + 1 < width else 0
            if up:
                labels[i, j] = up
            elif up_right:
                labels[i, j] = up_right
                if left:
                    _join(parents, left, up_right)
                elif up_left:
                    _join(parents, up_left, up_right)
            elif left:
                labels[i, j] = left
            elif up_left:
                labels[i, j] = up_left
            else:
                n += 1
                parents[n] = n
                labels[i, j] = n
    count = 0
    for k in range(1, n + 1):  # a parent is never larger than its child: it holds its final number by now
        if parents[k] == k:
            count += 1
            parents[k] = count
        else:
            parents[k] = parents[parents[k]]
    sizes = np.zeros(count, np.int64)
    for i in range(height):
        for j in range(width):
            if labels[i, j]:
                labels[i, j] = parents[labels[i, j]]
                sizes[labels[i, j] - 1] += 1
    return sizes


@compiled
def _forget_small(labels, sizes, smallest):
    """Take components of fewer than `smallest` cells that touch neither first nor last row out of int32 [h, w] `labels`
    and number the others anew; returns their sizes."""
    height, width = labels.shape
    numbers = np.zeros(sizes.size + 1, np.int32)
    for j in range(width):
        numbers[labels[0, j]] = 1
        numbers[labels[height - 1, j]] = 1
    count = 0
    for k in range(1, sizes.size + 1):
        if numbers[k] or sizes[k - 1] >= smallest:
            sizes[count] = sizes[k - 1]
            count += 1
            numbers[k] = count
    numbers[0] = 0
    for i in range(height):
        for j in range(width):
            labels[i, j] = numbers[labels[i, j]]
    return sizes[:count].copy()


@compiled
def _join_seam(parents, upper, upper_start, lower, lower_start):
    """Join what touches across a seam: `upper` and `lower` int32 [w] are the labels on its two sides."""
    width = lower.size
    for j in range(width):
        if lower[j]:
            for k in range(max(j - 1, 0), min(j + 2, width)):
                if upper[k]:
                    _join(parents, upper_start + upper[k] - 1, lower_start + lower[j] - 1)


@compiled
def _number_roots(parents, numbers):
    """Number the roots in order into int32 `numbers`, every other node as its root; returns how many."""
    count = 0
    for k in range(parents.size):
        if parents[k] == k:
            count += 1
            numbers[k] = count
        else:
            numbers[k] = numbers[parents[k]]
    return count


@dataclass(frozen=True)
class Components:
    """The connected components of a mask that was seen strip by strip.

    Attributes:
        count: number of components.
        sizes: int64 [count]; cells of component 1, 2, ...
        starts: int64 [strips + 1]; where a strip's own labels begin in `numbers`.
        numbers: int32; the component of each strip's own labels, one strip after the other; 0 of those too small.
        smallest: cells of the smallest component that counts.
    """

    count: int
    sizes: np.ndarray
    starts: np.ndarray
    numbers: np.ndarray
    smallest: int = 1

    def relabel(self, strip_index: int, mask: np.ndarray) -> np.ndarray:
        """Components of one strip, labelled again: nothing of the strips' cells is kept.

        Args:
            strip_index: 0-based place of the strip in the pass.
            mask: bool [h, w], the same strip as in the pass.

        Returns:
            int32 [h, w]: 0 outside the mask and in components that are too small, else 1..count.

        Raises:
            IndexError: there was no such strip.
            ValueError: the strip is not the one of the pass (its own components differ in number).
        """
        if not 0 <= strip_index < self.starts.size - 1:
            raise IndexError(f"strip {strip_index} of {self.starts.size - 1}")
        labels, sizes = _label(mask, self.smallest)
        start, end = self.starts[strip_index], self.starts[strip_index + 1]
        if sizes.size != end - start:
            raise ValueError(f"strip {strip_index} had {end - start} components in the pass and has {sizes.size} now")
        return np.concatenate(([np.int32(0)], self.numbers[start:end]))[labels]


def label(strips: Iterable[np.ndarray], smallest: int = 1) -> Components:
    """Connected components (8 neighbours) of a mask given as strips of rows, from the top down.

    Definition: reference/label.py, of the strips stacked; the numbers do not depend on where they were cut.

    Args:
        strips: bool [h, w] each (or numbers, nonzero inside); any heights, one width.
        smallest: components of fewer cells do not count.

    Raises:
        ValueError: a strip is not two-dimensional or not as wide as the first.
        OverflowError: there are more than 2^31 - 1 components: their numbers do not fit into int32.
    """
    parents = np.empty(0, np.int64)
    counts = [0]
    sizes = [np.empty(0, np.int64)]
    upper, upper_start, total = None, 0, 0
    for mask in strips:
        labels, local = _label(mask, smallest)
        if upper is not None and upper.size != labels.shape[1]:
            raise ValueError(f"a strip is {labels.shape[1]} cells wide, those before it {upper.size}")
        start, total = total, total + local.size
        counts.append(total)
        sizes.append(local)
        if labels.shape[0] == 0:
            continue
        if total > parents.size:  # doubled, so that the copying stays proportional to the number of labels
            parents = np.concatenate((parents, np.arange(parents.size, 2 * total, dtype=np.int64)))
        if upper is not None:
            _join_seam(parents, upper, upper_start, labels[0], start)
        upper, upper_start = labels[-1].copy(), start
    if total >= 1 << 31:
        raise OverflowError(f"{total} labels do not fit into int32: raise the threshold that makes the mask")
    numbers = np.empty(total, np.int32)
    count = _number_roots(parents[:total], numbers)
    cells = np.zeros(count, np.int64)
    np.add.at(cells, numbers - 1, np.concatenate(sizes))
    kept = cells >= smallest  # what touched a seam and is small all the same
    places = np.concatenate(([0], np.where(kept, np.cumsum(kept), 0))).astype(np.int32)
    return Components(int(kept.sum()), cells[kept], np.asarray(counts, np.int64), places[numbers], smallest)


def _label(mask: np.ndarray, smallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels int32 [h, w] of one strip by itself, and their sizes int64, without those that stay too small."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"a strip must have two axes, got shape {mask.shape}")
    labels = np.empty(mask.shape, np.int32)
    sizes = _label_strip(np.array(mask, dtype=bool, order="C"), labels)
    return labels, _forget_small(labels, sizes, smallest) if smallest > 1 and labels.size else sizes
