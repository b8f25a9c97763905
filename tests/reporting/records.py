"""A small invented record of a run, in full and with everything optional left out."""

from __future__ import annotations

from typing import Any

HOSTILE = "<script>alert('x')</script>"


WARPED = {
    "source": {"crs": "EPSG:4326", "cell_size": [0.05, 0.05]},
    "method": "bilinear",
    "files": {},
    "prepared": None,
}
DERIVED = {
    "source": {"features": 9400},
    "method": "distance",
    "parameters": {"derive": "distance", "where": HOSTILE, "azimuth": [30, 60], "search_distance": 5000.0},
    "files": {},
    "prepared": None,
}


def scores(auc: float, capture: float) -> dict[str, Any]:
    return {
        "auc": auc,
        "auc_low": auc - 0.05,
        "auc_high": auc + 0.05,
        "capture": {"0.01": capture / 4, "0.02": capture / 2, "0.05": capture, "0.1": 0.7, "0.2": 0.8},
        "success": {"area": [0.0, 0.05, 0.5, 1.0], "capture": [0.0, capture, 0.9, 1.0]},
        "pa": {"pr": 0.75, "oa": 0.25, "nd": 3.0, "ln_nd": 1.0986, "threshold": 0.7},
        "weights_of_evidence": {"share": 0.1, "w_plus": 1.4, "w_minus": -0.4, "contrast": 1.8, "studentized": 4.8},
    }


def beside(auc: float, ahead: float | None = None, half: float = 0.02) -> dict[str, Any]:
    """Figures of a score on the sampled cells; `ahead`: prospectivity's lead, its interval `half` to both sides."""
    figures = {
        "auc": auc,
        "auc_low": auc - 0.04,
        "auc_high": auc + 0.04,
        "capture": {"0.01": 0.1, "0.02": 0.2, "0.05": auc / 2, "0.1": 0.7, "0.2": 0.8},
        "nd": 4 * auc,
    }
    if ahead is None:
        return figures
    return figures | {"difference": {"auc": ahead, "low": ahead - half, "high": ahead + half, "behind": 0.2}}


def blocks(aucs: list[float | None]) -> list[dict[str, Any]]:
    """2 rows of blocks."""
    width = len(aucs) // 2
    return [
        {
            "row": at // width, "col": at % width, "rows": [0, 1], "cols": [0, 1], "cells": 90,
            "deposits": 0 if auc is None else at + 1, "auc": auc,
        }
        for at, auc in enumerate(aucs)
    ]  # fmt: skip


def judged_beside() -> dict[str, Any]:
    """Of the validation: what stands beside the figures over all cells."""
    return {
        "districts": 17,
        "notes": ["42 occurrences in <b>17</b> districts: the standard error of an AUC is about 0.04."],
        "null": {"auc": 0.83, "p": 0.004, "shifts": 999, "used": 870, "landed": 0.9, "quantiles": {"0.5": 0.5}},
        "blocks": blocks([0.91, None, 0.5, 0.3, 0.72, None]),
        "ours": {
            "prospectivity": beside(0.83),
            "anomaly": beside(0.48, 0.35),
            "favourability": beside(0.81, 0.02),
            "R": beside(0.79, 0.04),
        },
        "baselines": {
            "typed mean": beside(0.82, 0.01),
            "gamma": beside(0.87, -0.04),
            "PCA": beside(0.5, 0.33),
            "SOM": {"missing": f"not installed {HOSTILE}"},
        },
        "compared": {"cells": 3995, "occurrences": 42},
    }


def curve_of(breaks: list[float], shares: list[float]) -> dict[str, Any]:
    """A C-A curve as the Screener keeps it."""
    corners = [1.0, *breaks, 300.0]
    return {
        "breaks": breaks, "shares": shares, "slopes": [-0.5 - at for at in range(len(breaks) + 1)], "r2": 0.991,
        "cells": 4000, "left_out": 96, "over_lognormal": -120.0, "median_2mad": 52.7,
        "curve": [[1.0, 10.0, 300.0], [1.0, 0.3, 0.0005]], "line": [corners, [1.0, *shares, 0.0004]],
    }  # fmt: skip


def thresholds() -> dict[str, Any]:
    """Of prospectivity, and curves of the anomaly and three layers: without a break, of a lognormal, and no curve."""
    layers = {
        HOSTILE: curve_of([], []),
        "Cu": curve_of([36.0, 120.5], [0.2, 0.004]) | {"over_lognormal": 3.0},
        "clr": {"missing": f"600 of 1000 values are 0 or below {HOSTILE}"},
    }
    known = scores(0.83, 0.61)["pa"] | {"from_labels": True}
    return {
        "thresholds": {"0.05": 0.91, "0.01": 0.98, "0.02": 0.95},
        "cuts": {"median_2mad": 0.97, "median_2mad_share": 0.0123, "pa": known},
        "fractal": {"anomaly": curve_of([4.1], [0.031]), "layers": layers},
    }


def full_record() -> dict[str, Any]:
    """A fresh copy, so that a test may change it."""
    return {
        "project": {"name": "Kajan <i>like</i>", "description": "Copper & gold"},
        "version": "0.1.0",
        "command": "mpmjax run project.toml --output 'out & more'",
        "date": "2026-11-23T01:57:12+00:00",
        "seed": 7,
        "grid": {
            "crs": "EPSG:32639", "cell_size": [60.0, 60.0], "width": 200, "height": 100,
            "cells": 20000, "valid_cells": 15000, "area_km2": 54.0,
        },
        "layers": [
            {
                "name": HOSTILE, "role": "index", "direction": 1, "source": "alteration.tif", "counts": 0.8371,
                "membership": {"kind": "sigmoid", "params": {"midpoint": 0.42, "slope": 13.1}, "transform": "none",
                               "complement": False, "hedge": "very"},
                "missing_share": 0.0, "p1": 0.08, "median": 0.31, "p99": 0.77,
                "provenance": WARPED,
            },
            {
                "name": "faults", "role": "distance", "direction": -1, "source": "faults.gpkg", "weight": 2.0,
                "membership": {"kind": "ecdf", "params": {}, "transform": "log", "complement": True, "hedge": "none"},
                "missing_share": 0.0004, "p1": 0.0, "median": 1840.2, "p99": 1234567.0, "counts": 2.0,
                "provenance": DERIVED,
            },
            {"name": "gravity", "role": "geophysics", "direction": 0, "source": "g.tif", "counts": 0.0,
             "membership": None, "missing_share": None, "p1": None, "median": float("nan"), "p99": -4.1e-5},
        ],
        "model": {
            "members": 3, "hidden": 32, "latent": 1, "steps": 200, "sample": 4096, "val_steps": [100, 200],
            "train_loss": [[0.5, 0.2], [0.6, 0.3], [None, None]], "val_loss": [[0.5, 0.2], [0.6, 0.3], [None, None]],
            "excluded_members": [2], "best_step": [200, 100, 0],
            "split_half": [{"members": 3, "R": 0.9731, "surprise": 0.7529}],
        },
        "groups": {
            "k": 2,
            "criteria": {"k": [2, 3], "message_length": [1.0, 2.0], "silhouette": [0.4, 0.3], "mean_rank": [0.0, 1.0],
                         "davies_bouldin": [1.0, 1.2], "calinski_harabasz": [90.0, 80.0], "stability": [0.9, 0.8]},
            "favourability": [0.71, 0.33],
            "share": [0.123, 0.877],
        },
        **thresholds(),
        "targets": [
            {"rank": rank, "area_km2": 4.2 / rank, "prospectivity": 0.97, "confidence": 0.8, "risk": 0.031, "group": 1,
             "quadrant": 2, "drivers": [HOSTILE, "faults"], "lon": -70.1234, "lat": -33.4567}
            for rank in range(1, 26)
        ],
        "target_count": 25,
        "validation": {
            "source": "deposits.gpkg", "points": 45, "occurrences": 42, "xy": [[500300.0, 3699400.0]],
            "methods": {"gamma": scores(0.87, 0.4), "prospectivity": scores(0.83, 0.61), "anomaly": scores(0.48, 0.1),
                        "favourability": scores(0.81, 0.5), "pca": scores(0.5, 0.05)},
            **judged_beside(),
        },
        "warnings": ["copper: 12 infinite values <b>are</b> missing."],
        "times": {"prepare": 1.234, "train": 125.0, "screen": 8000.0},
        "inputs": {"alteration.tif": "a" * 64},
        "outputs": {"prospectivity.tif": "b" * 64},
        "versions": {"jax": "0.11.2"},
    }  # fmt: skip


def bare_record() -> dict[str, Any]:
    """What no run can lack, and None for the rest."""
    return dict.fromkeys(full_record()) | {"project": {"name": "bare"}, "layers": [], "targets": [], "target_count": 0}
