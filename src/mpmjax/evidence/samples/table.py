"""Samples of a CSV or of a vector file of points: places in the grid's CRS, values and labels, by stated rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pyproj import CRS

from mpmjax.errors import DataError
from mpmjax.evidence.crs import way_between
from mpmjax.evidence.csvfile import CSV_SUFFIXES
from mpmjax.evidence.samples.places import find_places, merge_flags, merge_labels, merge_values, refuse_repeats
from mpmjax.evidence.samples.reading import Read, read_csv, read_vector
from mpmjax.evidence.samples.rules import Rules
from mpmjax.evidence.samples.values import settle


@dataclass(frozen=True)
class Samples:
    """Samples, one a place unless the rules keep them apart.

    Attributes:
        x, y: float64 [n], n >= 1, in the grid's CRS, finite.
        values: column -> float64 [n], NaN missing; mg/kg where a unit is stated.
        labels: column -> str as object [n], "" missing.
        censored: column -> bool [n], whether the value stands for one beyond a limit of detection; of samples merged at
            one place, whether one of them does.
        notes: what was left out, replaced or merged, as sentences.
        limits: column -> its smallest stated detection limit, in the units of `values`; only columns that state one.
    """

    x: np.ndarray
    y: np.ndarray
    values: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    censored: Mapping[str, np.ndarray]
    notes: tuple[str, ...]
    limits: Mapping[str, float] = field(default_factory=dict)


def read_samples(
    path: Path,
    label: str,
    *,
    grid_crs: str,
    columns: Sequence[str],
    labels: Sequence[str] = (),
    crs: str | None = None,
    layer: str | None = None,
    where: str | None = None,
    rules: Rules = Rules(),  # noqa: B008 - frozen
) -> Samples:
    """Samples of a file.

    Args:
        path: CSV with lon,lat or x,y (csvfile.py), or a vector file of points.
        label: what messages call the file.
        grid_crs: CRS of the result, and of x,y in a CSV where `crs` is None.
        columns: names of columns of numbers, each as the header has it.
        labels: names of columns of text.
        crs: of the file, see csvfile.py; overrides that of a vector file.
        layer: which one of a vector file with several.
        where: attribute filter of a vector file, the part of an OGR SQL statement after WHERE.
        rules: what becomes of values that are no plain measurements, and of samples at one place.

    Raises:
        DataError: the file cannot be used, a column is not there or holds something else or nothing, samples lie at one
            place and the rules refuse it, or none can be brought into the grid's CRS.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        for key, value in (("where", where), ("layer", layer)):
            if value is not None:
                raise DataError(
                    f"{label}: {key} = {value!r} is for vector files. Remove it, or save the samples as GeoPackage."
                )
        read = read_csv(path, label, grid_crs, columns, labels, crs)
    else:
        read = read_vector(path, label, columns, labels, crs, layer, where)
    if not read.x.size:
        raise DataError(f"{label}: no row has coordinates. Fill them in, or name another file.")
    return _in_grid(_merged(read, columns, rules, label), read, CRS.from_user_input(grid_crs), label)


def _merged(read: Read, columns: Sequence[str], rules: Rules, label: str) -> Samples:
    """The rules applied, in the CRS of the file; one sample a place."""
    settled = {name: settle(read.cells[name], name, rules, label) for name in columns}
    notes = [*read.notes, *(note for one in settled.values() for note in one.notes)]
    values = {name: one.values for name, one in settled.items()}
    censored = {name: one.censored for name, one in settled.items()}
    limits = {name: one.limit for name, one in settled.items() if one.limit is not None}
    places = find_places(read.x, read.y)
    if not places.repeated:
        return Samples(read.x, read.y, values, dict(read.labels), censored, tuple(notes), limits)
    if rules.duplicates == "refuse":
        refuse_repeats(places, read.x, read.y, label)
    notes.append(
        f"{label}: {places.repeated} of {read.x.size} samples lie where another one lies; each place has the "
        f"{rules.duplicates} of its samples (duplicates = {rules.duplicates!r})."
    )
    labels = {}
    for name, own in read.labels.items():
        labels[name], several = merge_labels(own, places)
        if several:
            notes.append(f"{label}: column {name!r}: samples at {several} places differ; the first label was taken.")
    return Samples(
        read.x[places.first],
        read.y[places.first],
        {name: merge_values(own, places, rules.duplicates) for name, own in values.items()},
        labels,
        {name: merge_flags(own, places) for name, own in censored.items()},
        tuple(notes),
        limits,
    )


def _in_grid(samples: Samples, read: Read, target: CRS, label: str) -> Samples:
    """The same in the grid's CRS, without those that it does not reach."""
    x, y = samples.x, samples.y
    if read.crs != target:
        x, y = way_between(read.crs, target).transform(x, y)
    there = np.isfinite(x) & np.isfinite(y)
    if there.all():
        return Samples(x, y, samples.values, samples.labels, samples.censored, samples.notes, samples.limits)
    if not there.any():
        raise DataError(
            f"{label}: none of its {x.size} samples can be projected to the grid's CRS. Check the CRS of both "
            "(crs = ... overrides the file's)."
        )
    note = f"{label}: {(~there).sum()} of {x.size} samples cannot be projected to the grid's CRS and were left out."

    def kept(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: own[there] for name, own in columns.items()}

    return Samples(
        x[there],
        y[there],
        kept(samples.values),
        kept(samples.labels),
        kept(samples.censored),
        (*samples.notes, note),
        samples.limits,
    )
