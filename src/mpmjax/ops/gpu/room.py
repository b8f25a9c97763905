"""How many cells a lane has on the card at a time: from the free memory and the bytes of a cell, term by term.

Lanes score in chunks of ops/lstm.py, one after another on XLA's stream, so that XLA's scratch is that of a chunk,
however many cells there are. The terms of a chunk are those of the program as it is written; what XLA on a card makes
of it was not measured. If it is more, the card runs full once and the cells are halved (turns.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpmjax.errors import MemoryLimitError
from mpmjax.ops._card import CUPY_SHARE, XLA_SHARE
from mpmjax.ops.lstm import CHUNK
from mpmjax.ops.xla.lstm import UNROLL
from mpmjax.products import CLASS_MAPS, INDEX_MAPS

IN_FLIGHT = 8
"""Chunks of a lane that wait on the card, so that it always has the next; each holds its inputs and results."""

FILL = 0.8
"""Of a limit that is filled: pools round sizes up, and keep blocks that do not fit what is asked for next."""


@dataclass(frozen=True)
class Need:
    """What the bytes follow from.

    Attributes:
        raw: bytes of a cell in all layers, as in their files.
        layers, members, hidden, latent, groups: L, E, H, d, K.
        weights: bytes of the Screener's arrays.
    """

    raw: int
    layers: int
    members: int
    hidden: int
    latent: int
    groups: int
    weights: int

    def copied(self) -> dict[str, int]:
        """Bytes a cell of a batch that CuPy holds."""
        return {"raw values": self.raw, "masks": self.layers, "memberships": 4 * self.layers, "valid": self.layers}

    def scored(self) -> dict[str, int]:
        """Bytes a cell of a batch that XLA holds until the host has them."""
        return {"indices": 4 * len(INDEX_MAPS), "classes": len(CLASS_MAPS), "count": 4}

    def queued(self) -> dict[str, int]:
        """Bytes a cell of each chunk that waits on the card."""
        outputs = 4 * (len(INDEX_MAPS) + 4) + len(CLASS_MAPS)  # R, V, M and surprise besides
        return {"place": 4, "memberships": 4 * self.layers, "valid": self.layers, "outputs": outputs}

    def scratch(self) -> dict[str, int]:
        """Bytes a cell of the chunk that is scored: one member at a time, and what is kept of all."""
        return {
            "gates": 16 * self.hidden * min(UNROLL, self.layers),
            "states": 32 * self.hidden,  # h and c, before and after, of encoder and decoder
            "layers": 40 * self.layers,  # inputs in order, outputs, residuals, ranks and drives
            "posteriors": 8 * self.groups * self.latent,
            "members": 4 * self.members * (self.groups + 2),
        }

    def batch(self, cells: int, lanes: int) -> tuple[int, int]:
        """Bytes that CuPy and XLA hold with `cells` cells in each of so many lanes."""
        chunk = sum(self.scratch().values()) + IN_FLIGHT * sum(self.queued().values())
        held = cells * sum(self.scored().values()) + CHUNK * chunk
        return lanes * cells * sum(self.copied().values()), lanes * held + self.weights


class FusedNeed(Need):
    """Where the kernel scores (gpu/lstm.py): all is CuPy's, there are no chunks, and scores need no scratch."""

    def copied(self) -> dict[str, int]:
        return {**super().copied(), "place": 4, **super().scored()}

    def scored(self) -> dict[str, int]:
        return {}

    def queued(self) -> dict[str, int]:
        return {}

    def scratch(self) -> dict[str, int]:
        return {}


def need_of(dtypes: Sequence[np.dtype], arrays: Mapping[str, np.ndarray], fused: bool = False) -> Need:
    """Of layers in these dtypes and a Screener's arrays (reference/lstm.py), scored by XLA or by the kernel."""
    members, groups, latent = arrays["group_mean"].shape
    return (FusedNeed if fused else Need)(
        raw=sum(np.dtype(dtype).itemsize for dtype in dtypes),
        layers=len(dtypes),
        members=members,
        hidden=arrays["enc_wh"].shape[1],
        latent=latent,
        groups=groups,
        weights=sum(4 * array.size for array in arrays.values()),
    )


def cells_at_a_time(free: int, need: Need, lanes: int, most: int) -> int:
    """Cells of a lane's batch: whole chunks, no more than cover `most` cells, that fit into both libraries' shares.

    Args:
        free: bytes of the card.

    Raises:
        MemoryLimitError: not even one chunk a lane fits; says what would.
    """
    copied, scored = lanes * sum(need.copied().values()), lanes * sum(need.scored().values())
    fixed = need.batch(0, lanes)[1]
    for_xla = int(FILL * XLA_SHARE * free) - fixed
    cells = min(int(FILL * CUPY_SHARE * free) // copied, for_xla // scored if scored or for_xla < 0 else most + CHUNK)
    if cells < CHUNK:
        raise MemoryLimitError(too_full(free, need, lanes))
    return min(cells // CHUNK, -(-most // CHUNK)) * CHUNK


def too_full(free: int, need: Need, lanes: int) -> str:
    """The sentence for a card that does not hold the smallest batches."""
    cupy, xla = need.batch(CHUNK, lanes)
    needed = max(cupy / CUPY_SHARE, xla / XLA_SHARE) / FILL
    return (
        f"Screening {need.layers} layers with {need.members} members in {lanes} lane{'s' * (lanes != 1)} needs about "
        f"{needed / 2**20:,.0f} MiB of free memory on the card, with the smallest batches; {free / 2**20:,.0f} MiB are "
        'free. Close what else uses it (nvidia-smi shows it), or state [stream] backend = "cpu".'
    )
