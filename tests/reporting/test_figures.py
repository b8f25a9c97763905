"""Figures: equal bytes for equal input, the colours and places that were asked for, odd input drawn without fuss."""

from __future__ import annotations

import io
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import image

from mpmjax.reporting import palette
from mpmjax.reporting.area_curves import fractal_png
from mpmjax.reporting.curves import criteria_png, lines_png, pa_png, success_png
from mpmjax.reporting.drawing import NARROW, StopsNorm, drawable
from mpmjax.reporting.figures import class_map_png, map_png

EXTENT = (512.0, 518.0, 3648.0, 3652.0)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def pixels(png: bytes) -> np.ndarray:
    """uint8 [height, width, 3]."""
    return np.round(image.imread(io.BytesIO(png))[..., :3] * 255).astype(np.uint8)


def rgb(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)


def share(png: bytes, colour: str) -> float:
    """Share of the pixels that have exactly this colour."""
    return float((pixels(png) == rgb(colour)).all(axis=-1).mean())


def curve(power: float) -> dict[str, Any]:
    area = np.linspace(0, 1, 30)
    return {
        "area": area.tolist(),
        "capture": (area**power).tolist(),
        "auc": 1 / (1 + power),
        "pa": {"pr": 0.7, "oa": 0.3, "nd": 2.33},
    }


CURVES = {"prospectivity": curve(0.3), "gamma": curve(0.4), "_odd $name": curve(0.9)}
FRACTAL = {
    "Anomaly": {"curve": [[0.1, 1, 9], [1, 0.2, 1e-4]], "line": [[0.1, 2, 9], [1, 0.1, 1e-4]], "breaks": [2.0]},
    "_odd $name": {"curve": [[50, 52, 54], [1, 0.5, 0.1]], "line": [[50, 54], [1, 0.1]], "breaks": []},
}
CRITERIA = {
    "k": [2, 3, 4, 5],
    "message_length": [4.0, 3.0, 2.0, 2.5],
    "silhouette": [0.2, 0.4, None, 0.1],
    "davies_bouldin": [float("nan")] * 4,
    "stability": [0.9, 0.8, 0.9, 0.7],
    "mean_rank": [3, 2, 1, 4],
}


def draw_all() -> dict[str, bytes]:
    values = np.linspace(0, 1, 24).reshape(4, 6)
    outline = np.array([[513, 3649], [515, 3649], [515, 3651], [513, 3649]], float)
    return {
        "map": map_png(
            np.ma.masked_less(values, 0.1),
            "Prospectivity",
            extent=EXTENT,
            stops=palette.RANKED,
            label="score",
            points=np.array([[514.0, 3650.0]]),
            outlines=[outline],
            marks=[(515.0, 3651.0, "1")],
        ),
        "classes": class_map_png(
            np.arange(24, dtype=np.uint8).reshape(4, 6) % 5,
            "Classes",
            extent=EXTENT,
            classes=palette.area_classes(),
            width=NARROW,
        ),
        "lines": lines_png([[1.0, 0.5, 0.2], [1.1, None, None]], [[0.9, 0.4], [None, None]], [1, 3], best_step=[3, 0]),
        "criteria": criteria_png(CRITERIA, 4),
        "success": success_png(CURVES),
        "success_log": success_png(CURVES, log_x=True),
        "pa": pa_png(CURVES),
        "fractal": fractal_png(FRACTAL),
    }


def test_equal_input_gives_equal_bytes_whatever_the_users_style_and_no_pyplot() -> None:
    first = draw_all()
    with mpl.rc_context({"font.size": 20, "savefig.facecolor": "red", "image.interpolation": "bilinear"}):
        second = draw_all()
        assert mpl.rcParams["font.size"] == 20, "the user's settings are left as they were"
    assert first == second
    for name, png in first.items():
        assert png.startswith(SIGNATURE), name
        assert b"Software" not in png, name
        assert b"tIME" not in png, name
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_row_zero_is_in_the_north() -> None:
    values = np.ma.masked_all((2, 2))
    values[0, 0] = 1.0
    seen = pixels(map_png(values, "t", extent=(0, 1, 0, 1)))
    brightest = rgb(palette.COLOURS["viridis"][-1])
    # Only the upper three quarters: the colour bar at the bottom ends in the same colour.
    rows, cols = np.nonzero((seen[: int(0.75 * len(seen))] == brightest).all(axis=-1))
    assert rows.size > 1000
    assert rows.mean() < len(seen) / 2
    assert cols.mean() < seen.shape[1] / 2


def test_stops_place_the_colours() -> None:
    at = palette.RANKED[5]
    png = map_png(np.full((3, 3), at), "t", extent=(0, 1, 0, 1), stops=palette.RANKED)
    seen = pixels(png)
    middle = seen[len(seen) // 2, seen.shape[1] // 2].astype(int)
    assert np.abs(middle - rgb(palette.COLOURS["viridis"][5])).max() <= 3


def test_masked_and_not_finite_cells_stay_white() -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 0.0]])
    masked = np.ma.array(values, mask=[[False, False], [False, True]])
    empty = map_png(masked, "t", extent=(0, 1, 0, 1))
    full = map_png(np.zeros((2, 2)), "t", extent=(0, 1, 0, 1))
    dark = palette.COLOURS["viridis"][0]
    assert share(full, dark) - share(empty, dark) > 0.3


def test_proportions_are_true() -> None:
    seen = pixels(class_map_png(np.ones((1, 4), np.uint8), "t", extent=(0, 4, 0, 1), classes=palette.area_classes()))
    coloured = (seen == rgb(palette.area_classes()[0][2])).all(axis=-1)
    rows = np.count_nonzero(coloured.sum(axis=1) > 100)  # the patch of the legend is smaller than that
    cols = np.count_nonzero(coloured.sum(axis=0) > 50)
    assert cols / rows == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("extent", [(0, 0, 0, 1), (0, 1, 1, 0), (0, float("nan"), 0, 1)])
def test_an_empty_extent_is_refused(extent: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="extent"):
        map_png(np.zeros((2, 2)), "t", extent=extent)


def test_a_stack_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[height, width\]"):
        map_png(np.zeros((2, 2, 2)), "t", extent=EXTENT)
    with pytest.raises(ValueError, match=r"\[height, width\]"):
        class_map_png(np.zeros((2, 2, 2), np.uint8), "t", extent=EXTENT, classes=palette.area_classes())


@pytest.mark.parametrize("extent", [(0, 0.02, 0, 9), (0, 9, 0, 0.02), (0, 1e4, 0, 1e4), (0, 0.03, 0, 0.03)])
def test_maps_of_any_shape_and_size(extent: tuple[float, float, float, float]) -> None:
    assert map_png(np.zeros((2, 2)), "t", extent=extent).startswith(SIGNATURE)


def test_classes_have_exactly_their_colours() -> None:
    values = np.array([[1, 2], [0, 0]], np.uint8)
    png = class_map_png(values, "t", extent=(0, 1, 0, 1), classes=palette.area_classes())
    shares = [share(png, colour) for _, _, colour in palette.area_classes()]
    assert shares[0] == pytest.approx(shares[1], rel=0.05)
    assert shares[0] > 0.1
    assert shares[2] == shares[3] == 0.0, "what does not occur is neither drawn nor in the legend"


def test_a_value_without_a_class_is_drawn_grey_and_not_left_out() -> None:
    png = class_map_png(np.full((2, 2), 9, np.uint8), "t", extent=(0, 1, 0, 1), classes=palette.area_classes())
    assert share(png, "#b4bcc2") > 0.3


def test_forty_layers_share_a_legend_of_fifteen_rows() -> None:
    values = np.repeat(np.arange(1, 41, dtype=np.uint8), np.arange(41, 1, -1))
    values = values[: values.size // 10 * 10].reshape(10, -1)
    names = [f"layer with a long name, number {n}" for n in range(1, 41)]
    classes = palette.driver_classes(names)
    png = class_map_png(values, "t", extent=(0, 3, 0, 2), classes=classes)
    assert share(png, classes[0][2]) > 0.005
    assert share(png, classes[30][2]) == 0.0
    assert share(png, "#b4bcc2") > 0.05


def test_stops_norm_keeps_masks_and_inverts() -> None:
    norm = StopsNorm(palette.RANKED)
    values = np.ma.array([0.0, 0.25, 0.96, 1.0, 2.0], mask=[False, False, False, False, True])
    there = norm(values)
    assert there[:4].tolist() == pytest.approx([0, 1 / 8, 7 / 8, 1])
    assert np.ma.getmaskarray(there).tolist() == [False, False, False, False, True]
    assert norm(0.72) == pytest.approx(0.5)
    assert norm.inverse(np.array([0.125, 0.5])).tolist() == pytest.approx([0.25, 0.72])


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Au_$/t$", "Au_$/t$"),
        ("_hidden", " _hidden"),
        ("铜 grade", "? grade"),
        ("Zähler\n\tÅ", "Zähler Å"),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_text_that_the_font_can_draw(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


def test_hostile_names_are_drawn_as_they_are() -> None:
    names = ["$\\frac{1}{$", "_x", "铜矿", "", "a\nb\x00"]
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    png = class_map_png(values, "$\\bad", extent=EXTENT, classes=palette.driver_classes(names))
    assert png.startswith(SIGNATURE)


def test_members_left_out_look_different() -> None:
    losses = [[1.0, 0.5], [1.0, 0.7]]
    plain = lines_png(losses, losses, [10, 20], best_step=[20, 20])
    marked = lines_png(losses, losses, [10, 20], best_step=[20, 20], excluded=[1])
    assert plain != marked


def test_curves_without_any_value() -> None:
    assert lines_png([], [], []).startswith(SIGNATURE)
    assert lines_png([[None, None]], [[None]], [5], best_step=[0], excluded=[0]).startswith(SIGNATURE)
    assert criteria_png({"k": [2, 3], "message_length": [None, None]}).startswith(SIGNATURE)
    assert pa_png({"anomaly": {"area": [0, 1], "capture": [0, 1]}}).startswith(SIGNATURE)


def test_breaks_are_marked() -> None:
    curve = FRACTAL["Anomaly"]
    assert fractal_png({"Anomaly": curve}) != fractal_png({"Anomaly": curve | {"breaks": []}})
    assert share(fractal_png({"Anomaly": curve}), "#b3471d") > 0.001
    assert fractal_png({str(n): curve for n in range(6)}).startswith(SIGNATURE)


def test_the_chosen_number_of_groups_is_marked() -> None:
    bic = {"k": CRITERIA["k"], "message_length": CRITERIA["message_length"]}
    assert len({criteria_png(bic, k) for k in (None, 3, 4)}) == 3
