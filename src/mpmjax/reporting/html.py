"""The report as one HTML file: styles inline, figures as data URIs, no script, nothing fetched from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from mpmjax.reporting import breaks, judgement, view

MAPS: dict[str, tuple[str, str]] = {
    "prospectivity": (
        "Prospectivity",
        "Where to look first. Dark outlines: targets, the best with their rank; white circles: known occurrences.",
    ),
    "confidence": (
        "Confidence",
        "Probability that the cell stays in, or out of, the best area if all is fitted again. Not that of a deposit.",
    ),
    "anomaly": ("Anomaly", "How unusual the combination of layers is, favourable or not; ranked, 1 is the rarest."),
    "favourability": ("Favourability", "Weighted mean membership of the layers with a direction."),
    "risk": ("Risk", "Standard deviation of the members' favourability: where they disagree."),
    "spread": (
        "Spread",
        "Standard deviation of the members' own prospectivities: what the order of layers, seed and blocks decide.",
    ),
    "coverage": ("Coverage", "Share of the layers that have data in a cell."),
    "groups": ("Groups", "Cells that are alike to the ensemble, numbered by mean favourability, 1 the highest."),
    "quadrants": (
        "Return and risk",
        "R, the favourability that the network tells: high is its best tenth; risk: high is the riskier half of that.",
    ),
    "classes": ("Area classes", "The best shares of the area by prospectivity."),
    "driver": (
        "Driving layer",
        "The layer that says most for the cell: a favourable value that is rare here, by its weight.",
    ),
}
"""Captions of the maps, in the order of the report."""

CURVES: dict[str, str] = {
    "loss": "Loss of each member on the sample and on held-out blocks",
    "criteria": "Criteria of the number of groups",
    "fractal": "Concentration-area curves: area at or above a value, with its breaks",
    "success": "Success rate: share of the known occurrences found in the best share of the area",
    "pa": "Prediction-area plot: where prediction rate and remaining area cross; the higher, the better",
}


def render(record: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """The whole report as HTML text; equal record and figures give equal text.

    Args:
        record: the run as run.json has it; every part may be absent or None.
        figures: PNG bytes by name, any of `MAPS` and `CURVES`; what is absent is left out of the report.

    Raises:
        ValueError: a figure has a name that the report does not know.
    """
    unknown = sorted(set(figures) - set(MAPS) - set(CURVES))
    if unknown:
        raise ValueError(f"figures {unknown} have no place in the report; known are {[*MAPS, *CURVES]}")
    uris = {name: f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for name, png in figures.items()}
    return _template().render(
        head=view.headline(record),
        targets=view.targets(record),
        cuts=breaks.cuts(record),
        maps=[(name, title, caption, uris[name]) for name, (title, caption) in MAPS.items() if name in uris],
        curves={name: (words, uris[name]) for name, words in CURVES.items() if name in uris},
        layers=view.layers(record),
        model=view.model(record),
        groups=view.groups(record),
        breaks=breaks.section(record),
        validation=judgement.validation(record),
        capture_shares=[f"{100 * float(share):g} %" for share in view.CAPTURE_SHARES],
        warnings=[view.words.printable(warning) for warning in record.get("warnings") or ()],
        provenance=view.provenance(record),
    )


@cache
def _template() -> Template:
    # autoescape by True: select_autoescape() judges by the ending and would leave ".html.j2" unescaped.
    environment = Environment(
        loader=PackageLoader("mpmjax.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")
