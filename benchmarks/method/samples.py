"""What it costs to know a district by samples: python -m mpmjax.benchmarks.method.samples FOLDER [--samples N...]
[--limits SHARE...] [--methods idw...].

The eight elements of nanling_li are grids. Here they are measured as a survey would: at places drawn at random in the
study area, with an error of analysis, in the units of a laboratory, rounded, and below a limit of detection written as
"<limit". That table and a project file, examples/nanling_li_samples.toml, are all that the second run sees: it grids
the elements again. Printed is how much of AUC is lost against the run on the grids themselves, and how the layers
correlate.

The table and the project file stay in FOLDER, as an example of how to start from samples.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.warp import transform as reproject
from scipy.stats import rankdata

from mpmjax.pipeline import run
from mpmjax.stream.reader import gdal_environment

ELEMENTS = ("Li", "Be", "Sn", "W", "F", "Nb", "Bi", "B")
PPB = ("Bi",)
"""Given in ppb, the others in ppm, as laboratories do."""
ERROR = 0.1
"""Relative standard deviation of an analysis."""
TABLE = "stream_sediments.csv"
REPEATED = 0.02
"""Share of the places that are sampled twice."""
SEED = 11


@dataclass(frozen=True)
class Survey:
    """One way of sampling the district.

    Attributes:
        samples: how many places.
        limit: share of each element's samples that lie below its detection limit.
        method: of gridding.
    """

    samples: int
    limit: float
    method: str

    @property
    def name(self) -> str:
        return f"{self.samples}_{round(100 * self.limit)}_{self.method}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the district by its grids and by each survey; print the table. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.method.samples", description=_first_line())
    parser.add_argument("folder", type=Path, help="where surveys, project files and outputs are left")
    parser.add_argument("--samples", type=int, nargs="+", default=[6000], help="places that are sampled (6000)")
    parser.add_argument("--limits", type=float, nargs="+", default=[0.15], help="shares below detection (0.15)")
    parser.add_argument("--methods", nargs="+", default=["idw"], help="of gridding: idw, linear, natural, rbf, kriging")
    asked = parser.parse_args(argv)
    data = os.environ.get("MPMJAX_DATA")
    if data is None:
        print("Set MPMJAX_DATA to the folder that holds nanling_li/.", file=sys.stderr)
        return 2
    surveys = [Survey(n, limit, method) for n in asked.samples for limit in asked.limits for method in asked.methods]
    grids = run(_example("nanling_li"), asked.folder / "grids")
    rows = [_row("the grids themselves", grids, None, "")]
    for survey in surveys:
        project = write_survey(Path(data) / "nanling_li", asked.folder / survey.name, survey)
        record = run(project, asked.folder / f"{survey.name}_run")
        what = f"{survey.samples} samples, {survey.limit:.0%} below detection, {survey.method}"
        alike = correlations(asked.folder / "grids", asked.folder / f"{survey.name}_run", Path(data) / "nanling_li")
        rows.append(_row(what, record, grids, alike))
    print(
        "| evidence | AUC, 95 % | lost | best 5 % | best 10 % | layers, rank correlation |\n|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    return 0


def write_survey(district: Path, folder: Path, survey: Survey) -> Path:
    """The table of samples and the project file, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    x, y = _places(district / "study_area.tif", survey.samples, rng)
    again = rng.choice(len(x), round(REPEATED * len(x)), replace=False)
    x, y = np.concatenate((x, x[again])), np.concatenate((y, y[again]))
    lon, lat = reproject("EPSG:32650", "EPSG:4326", x, y)[:2]
    columns = [_analysed(district / f"Idw_{name}.tif", x, y, survey.limit, name, rng) for name in ELEMENTS]
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sample", "lon", "lat", *(f"{name}_{_unit(name)}" for name in ELEMENTS)])
        for number, cells in enumerate(zip(lon, lat, *columns, strict=True)):
            out.writerow([f"S{number:05d}", f"{cells[0]:.6f}", f"{cells[1]:.6f}", *cells[2:]])
    text = _example("nanling_li_samples").read_text(encoding="utf-8")
    project = folder / "nanling_li_samples.toml"
    project.write_text(re.sub(r'method = "\w+"', f'method = "{survey.method}"', text), encoding="utf-8")
    return project


def correlations(grids: Path, sampled: Path, district: Path) -> str:
    """Spearman's correlation of each element's layer in both runs, over the cells of the study area that both have."""
    with gdal_environment():
        with rasterio.open(district / "study_area.tif") as file:
            inside = file.read(1) == 1
        found = [_spearman(_layer(grids, name), _layer(sampled, name), inside) for name in ELEMENTS]
    low, high = min(found), max(found)
    return f"{np.median(found):.2f} ({low:.2f} to {high:.2f})"


def _layer(output: Path, name: str) -> np.ndarray:
    """A layer of a run as it was laid on the grid, NaN where it is missing."""
    files = sorted((output / "evidence").glob(f"{name}.*.tif"))
    if len(files) != 1:
        raise FileNotFoundError(f"{output / 'evidence'}: {len(files)} rasters of layer {name}, one was expected")
    with rasterio.open(files[0]) as file:
        return file.read(1, masked=True).filled(np.nan)


def _spearman(one: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    both = inside & np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(rankdata(one[both]), rankdata(other[both]))[0, 1])


def _places(mask: Path, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of places drawn evenly from the cells of a mask that are 1, float64 [count]."""
    with rasterio.open(mask) as file:
        rows, cols = np.nonzero(file.read(1) == 1)
        drawn = rng.integers(0, len(rows), count)
        return file.transform @ (cols[drawn] + rng.random(count), rows[drawn] + rng.random(count))


def _analysed(grid: Path, x: np.ndarray, y: np.ndarray, limit: float, name: str, rng: np.random.Generator) -> list[str]:
    """What a laboratory would report of an element at the places: three digits, "<limit" below its detection limit."""
    with rasterio.open(grid) as file:
        cols, rows = (np.floor(axis).astype(int) for axis in ~file.transform @ (x, y))
        inside = (rows >= 0) & (rows < file.height) & (cols >= 0) & (cols < file.width)
        values = file.read(1, masked=True).filled(np.nan).astype(np.float64)
        true = np.where(inside, values[rows.clip(0, file.height - 1), cols.clip(0, file.width - 1)], np.nan)
    measured = true * np.exp(ERROR * rng.standard_normal(len(true))) * (1000 if name in PPB else 1)
    lowest = float(f"{np.nanquantile(measured, limit):.2g}")
    return ["" if np.isnan(v) else f"<{lowest:g}" if v < lowest else f"{v:.3g}" for v in measured]


def _unit(name: str) -> str:
    return "ppb" if name in PPB else "ppm"


def _row(what: str, record: dict[str, Any], grids: dict[str, Any] | None, alike: str) -> str:
    own = record["validation"]["ours"]["prospectivity"]
    low, high = own["limits"]["auc"]
    lost = "–" if grids is None else f"{grids['validation']['ours']['prospectivity']['auc'] - own['auc']:+.3f}"
    shares = " | ".join(f"{own['capture'][share]:.0%}" for share in ("0.05", "0.1"))
    return f"| {what} | {own['auc']:.3f} [{low:.3f}, {high:.3f}] | {lost} | {shares} | {alike or '–'} |"


def _example(name: str) -> Path:
    return Path(str(resources.files("mpmjax.examples") / f"{name}.toml"))


def _first_line() -> str:
    return (__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
