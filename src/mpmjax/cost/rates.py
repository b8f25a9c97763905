"""How fast this machine does each part of a run, for one project: measured in a few seconds on a little of its data.

All rates are CPU seconds of one core, the quickest of a few tries, so that they are those of a machine on which nothing
else runs. A cell is one of the grid, with all its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mpmjax.autoencoder.pace import gradient_pace
from mpmjax.autoencoder.training import TrainingConfig
from mpmjax.cost import probes
from mpmjax.cost.laid import Laid, lay_a_little
from mpmjax.cost.work import AUTO_MEMBERS, Stack, Work, cores_of, file_bytes
from mpmjax.errors import DataError
from mpmjax.project import Project
from mpmjax.scoring.favourability import fit_membership
from mpmjax.stream.reader import gdal_environment
from mpmjax.types import Layer, Membership, Slab, Tile

LOOKED_AT = 65_536
"""Cells that are scored for a measurement at H = 32 and L = 8; fewer of larger networks, so that it takes as long."""

FEWEST = 4096
READING = 0.4
"""Seconds of reading tiles, after which no further tile is read."""

TILES = 6
"""Most tiles that are read, spread over the grid."""

PLAIN_DRAW = 1.2e-7
"""Seconds a cell of `probes.drawing` on the machine that the constants of model.py were taken on."""

ZSTD = {"compress": "zstd", "zstd_level": 1, "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512}


@dataclass(frozen=True)
class Rates:
    """CPU seconds, for one project on one machine.

    Attributes:
        cores: that the work is spread over.
        decode, mask: a cell of reading the sources as tiles; zstd: of decoding, were they stored so.
        sampled: a cell of reading the sample's blocks; draw: of drawing from them.
        member: a scored cell and member; rest: a scored cell, once; network: the bare network, a cell and member.
        card_member: a scored cell and member on a card, wall time; None where the CPU scores.
        tile: a cell of the pass, of writing all maps as tiles; count: of what one thread counts.
        cogs: a cell, of each map's COG; read_map: of reading a map back.
        train: a cell of a batch; compiling: of the program of one gradient.
        copy, digest: a byte.
        pace: how slow this machine is beside the one of the constants in model.py; 1 is as fast.
    """

    cores: int
    decode: float
    mask: float
    zstd: float
    sampled: float
    draw: float
    member: float
    rest: float
    network: float
    tile: float
    count: float
    cogs: Mapping[str, float]
    read_map: float
    train: float
    compiling: float
    copy: float
    digest: float
    pace: float
    card_member: float | None = None


def measure(stack: Stack) -> tuple[Work, Rates, tuple[Layer, ...]]:
    """What a run of a project has to do, and how fast this machine does it.

    Raises:
        MpmError: a source cannot be read or laid on the grid, or the temporary folder takes no files.
    """
    with gdal_environment(), TemporaryDirectory(prefix="mpmjax-") as name:
        laid = lay_a_little(stack, Path(name))
        work = _work(stack, laid)
        mask = probes.masking(laid.slab, laid.layers)
        member, rest, maps = _scoring(stack.project, laid, work)
        tile, count, cogs, read_map = probes.writing(maps, stack.grid, Path(name))
        draw, zstd = probes.drawing(), probes.recoded(laid.slab, ZSTD)
    training = gradient_pace(training_config(stack.project.model, work.layers))
    rates = Rates(
        cores=worker_count(stack.project.stream.workers),
        decode=max(laid.reading - mask, 0.0),
        mask=mask,
        zstd=zstd,
        sampled=laid.sampling,
        draw=draw,
        member=member,
        rest=rest,
        tile=tile,
        count=count,
        cogs=cogs,
        read_map=read_map,
        train=training.cell,
        compiling=training.compiling,
        copy=probes.copying(),
        digest=probes.digesting(),
        pace=draw / PLAIN_DRAW,
    )
    return work, rates
