"""How fast this machine does each part of a run, for one project: measured in a few seconds on a little of its data.

All rates are CPU seconds of one core, the quickest of a few tries, so that they are those of a machine on which nothing
else runs. A cell is one of the grid, with all its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mpmjax.autoencoder.pace import gradient_pace
from mpmjax.autoencoder.training import training_config
from mpmjax.cost import probes
from mpmjax.cost.laid import Laid, lay_a_little
from mpmjax.cost.work import AUTO_MEMBERS, Stack, Work, file_bytes
from mpmjax.errors import DataError
from mpmjax.scoring.favourability import fit_membership
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.reader import gdal_environment
from mpmjax.stream.room import MAP_BYTES, ON_DISK, memory_needed, plan_room
from mpmjax.types import Evidence, Membership, Slab, Tile

LOOKED_AT = 200_000
"""Cells that are scored for a measurement at H = 32; fewer of larger networks, so that it takes as long."""

FEWEST = 4096
FLOAT_BYTES = 4
"""Of a cell of a layer that is made, before it is compressed."""

PLAIN_SORT = 1.13e-8
"""Seconds a cell of `probes.sorting` on the machine that the constants of model.py were taken on."""

ZSTD = {"compress": "zstd", "zstd_level": 1, "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512}


@dataclass(frozen=True)
class Rates:
    """CPU seconds, for one project on one machine.

    Attributes:
        cores: that the work is spread over.
        decode, mask: a cell of reading the sources as tiles; zstd: of decoding, were they stored so.
        sampled: a cell of reading the blocks of the sample.
        member: a scored cell and member; rest: a scored cell, once, whatever the members.
        tile: a cell of the pass, of writing all maps as tiles; count: of what one thread counts.
        cogs: a cell, of each map's COG; read_map: of reading a map back.
        train: a cell of a batch; compiling: of the program of one gradient.
        digest: a byte of a checksum.
        pace: how slow this machine is beside the one of the constants in model.py; 1 is as fast.
    """

    cores: int
    decode: float
    mask: float
    zstd: float
    sampled: float
    member: float
    rest: float
    tile: float
    count: float
    cogs: Mapping[str, float]
    read_map: float
    train: float
    compiling: float
    digest: float
    pace: float


def measure(stack: Stack) -> tuple[Work, Rates]:
    """What a run of a project has to do, and how fast this machine does it.

    Raises:
        MpmError: a source cannot be read or laid on the grid, or the temporary folder takes no files.
    """
    model = stack.project.model
    with gdal_environment(), TemporaryDirectory(prefix="mpmjax-") as name:
        folder = Path(name)
        laid = lay_a_little(stack, folder)
        pace = probes.sorting() / PLAIN_SORT
        work = _work(stack, laid, pace)
        cells = max(FEWEST, int(LOOKED_AT * (32 / model.hidden) ** 2))
        part = _part(laid.slab, cells, model.min_coverage)
        member, rest, maps = _scoring(stack, laid, part, work)
        tile, count, cogs, read_map = probes.writing(maps, stack.grid, folder)
    mask = probes.masking(laid.slab, laid.layers)
    network = training_config(model, work.layers)
    training = gradient_pace(network.network, network.batch, network.loss, network.trim)
    return work, Rates(
        cores=worker_count(stack.project.stream.workers),
        decode=max(laid.reading - mask, 0.0),
        mask=mask,
        zstd=probes.recoded(laid.slab, ZSTD),
        sampled=laid.sampling,
        member=member,
        rest=rest,
        tile=tile,
        count=count,
        cogs=cogs,
        read_map=read_map,
        train=training.cell,
        compiling=training.compiling,
        digest=probes.digesting(),
        pace=pace,
    )


def _work(stack: Stack, laid: Laid, pace: float) -> Work:
    """Asked while the files of `laid` are there.

    Raises:
        MemoryLimitError: the pass does not fit into [stream] max_memory.
    """
    project, model = stack.project, stack.project.model
    network = training_config(model, len(laid.layers))
    cells = stack.grid.width * stack.grid.height
    evidence = Evidence(stack.grid, laid.layers)
    return Work(
        cells=cells,
        layers=len(laid.layers),
        members=AUTO_MEMBERS if model.members == "auto" else model.members,
        hidden=model.hidden,
        latent=network.latent,
        steps=network.steps,
        batch=model.batch,
        # Layers often end where the study area does: the smaller share, not their product.
        scored=min(laid.scored, stack.inside),
        source_bytes=file_bytes(project),
        looks=sum(stack.looked.values()),
        made=laid.warping + laid.deriving * pace,
        made_layers=laid.made,
        sampled_cells=laid.sampled_cells,
        auto_members=model.members == "auto",
        workers=project.stream.workers,
        judged=project.validate_ is not None,
        memory=memory_needed(evidence, plan_room(evidence, project.stream)),
        disk=int(cells * (MAP_BYTES * ON_DISK + FLOAT_BYTES * laid.made)),
    )


def _part(slab: Slab, cells: int, coverage: float) -> Slab:
    """Rows of a slab, about so many cells, among which most are scored; where none is, all layers count as there."""
    height, width = slab.inside.shape
    rows = min(height, max(16, cells // width))
    scored = (slab.valid.mean(axis=0) >= coverage) & slab.inside
    upto = np.concatenate([[0], np.cumsum(scored.sum(axis=1))])
    among = upto[rows:] - upto[:-rows]
    here = slice(int(among.argmax()), int(among.argmax()) + rows)
    valid = slab.valid[:, here] if among.max() else np.ones((len(slab.valid), rows, width), bool)
    return Slab(
        Tile(0, 0, 0, rows, width),
        tuple(np.ascontiguousarray(raw[here]) for raw in slab.values),
        np.ascontiguousarray(valid),
        np.ones((rows, width), bool) if not among.max() else np.ascontiguousarray(slab.inside[here]),
    )


def _scoring(stack: Stack, laid: Laid, part: Slab, work: Work) -> tuple[float, float, probes.Maps]:
    """Seconds of a scored cell a member, those of a scored cell besides, and the maps of the part."""
    memberships = []
    for layer, raw, valid, section in zip(laid.layers, part.values, part.valid, stack.project.layers, strict=True):
        values = np.where(valid, layer.in_units(raw), np.nan).ravel()
        try:
            memberships.append(fit_membership(values, layer, section.membership, section.transform))
        except DataError:
            # A few cells, or a stand-in, need not hold what the layer does; any other membership costs as much.
            memberships.append(Membership("linear", {"lo": 0.0, "hi": 1.0}))
    scoring = probes.Scoring(part, laid.layers, memberships, stack.project.model.min_coverage)
    there = part.valid.mean(axis=0) >= stack.project.model.min_coverage
    cells = max(int((there & part.inside).sum()), 1)
    scoring.seconds(1, work.hidden, work.latent)  # compiles
    one, plain = scoring.seconds(1, work.hidden, work.latent)
    two, maps = scoring.seconds(2, work.hidden, work.latent)
    member = max(two - one, 0.25 * one) / cells
    # One member alone has no risk and no spread: maps that cost less.
    return member, max(one / cells - member, 0.0), plain if work.members == 1 else maps
