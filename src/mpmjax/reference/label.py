"""Connected components, by walking from cell to cell.

Two cells are connected if they touch by an edge or a corner (8 neighbours). Components are numbered 1, 2, ... in the
row-major order of their first cells; 0 is background. Example:

    # . # .        1 0 2 0
    . . . #   ->   0 0 0 2
    # # . .        3 3 0 0
"""

from __future__ import annotations

import numpy as np


def label(mask: np.ndarray, smallest: int = 1) -> np.ndarray:
    """Number the connected components of a mask.

    Args:
        mask: bool [h, w].
        smallest: components of fewer cells are background.

    Returns:
        int32 [h, w]: 0 outside the mask, else 1..count.

    Raises:
        ValueError: mask is not two-dimensional.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.ndim != 2:
        raise ValueError(f"mask must have two axes, got shape {mask.shape}")
    height, width = mask.shape
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    for row, col in np.argwhere(mask):
        if labels[row, col]:
            continue
        count += 1
        labels[row, col] = count
        reached = [(row, col)]
        while reached:
            i, j = reached.pop()
            for p in range(max(i - 1, 0), min(i + 2, height)):
                for q in range(max(j - 1, 0), min(j + 2, width)):
                    if mask[p, q] and not labels[p, q]:
                        labels[p, q] = count
                        reached.append((p, q))
    kept = np.bincount(labels.ravel(), minlength=count + 1) >= smallest
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]
