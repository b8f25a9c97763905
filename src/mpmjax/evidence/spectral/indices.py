"""Published band ratios that point at minerals, by sensor and name; over reflectances, thermal ones over radiances.

High means much of the mineral. No index is of one mineral alone: `note` says what disturbs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpmjax.evidence.expression import Expression, parse
from mpmjax.evidence.nearest import nearest
from mpmjax.evidence.spectral.bands import SceneError, sensor_bands

MANUAL = "Kalinowski and Oliver (2004), ASTER Mineral Index Processing Manual, Geoscience Australia"
NINOMIYA_SWIR = "Ninomiya (2004), Lithologic mapping with multispectral ASTER TIR and SWIR data, Proc. SPIE 5234"
NINOMIYA_TIR = "Ninomiya, Fu and Cudahy (2005), Remote Sensing of Environment 99, 127-139"
CONTINUITY = "van der Werff and van der Meer (2016), Remote Sensing 8(11), 883"
SEGAL = "Segal (1982), 2nd Thematic Conference on Remote Sensing for Exploratory Geology, Fort Worth, 949-951"
SABINS = "Sabins (1999), Ore Geology Reviews 14, 157-183"

_GAP = "no data since April 2008, when the short-wave infrared failed; crosstalk of band 4 must have been corrected"
_DRY = "dry plants (cellulose at 2.1 µm) raise it"
_DARK = "weak: ordinary soil rises as much from red to the short-wave infrared, and mafic rock lowers it"
_PLANTS = "green plants change it: mask them"


@dataclass(frozen=True)
class IndexSpec:
    """expression: over canonical bands. mineral: what it rises with. source: where it was published. note: caution."""

    expression: str
    mineral: str
    source: str
    note: str


_ASTER = {
    "argillic": IndexSpec(
        "(B04 + B06) / B05",
        "alunite, kaolinite, pyrophyllite (argillic and advanced argillic alteration)",
        f"Rowan, in {MANUAL}; relative band depth of Crowley et al. (1989)",
        _GAP,
    ),
    "phyllic": IndexSpec(
        "(B05 + B07) / B06",
        "sericite, muscovite, illite, smectite (phyllic alteration)",
        f"Rowan and Hewson, in {MANUAL}; relative band depth of Crowley et al. (1989)",
        f"kaolinite absorbs there too; {_GAP}",
    ),
    "propylitic": IndexSpec(
        "(B07 + B09) / B08",
        "chlorite, epidote, carbonate (propylitic alteration)",
        f"Rowan, in {MANUAL}; relative band depth of Crowley et al. (1989)",
        f"limestone shows as strongly; band 9 is noisy; {_GAP}",
    ),
    "alunite": IndexSpec("B07 / B05 * (B07 / B08)", "alunite, kaolinite", NINOMIYA_SWIR, f"carbonate too; {_GAP}"),
    "kaolinite": IndexSpec("B04 / B05 * (B08 / B06)", "kaolinite, alunite", NINOMIYA_SWIR, f"mica too; {_GAP}"),
    "hydroxyl": IndexSpec(
        "B07 / B06 * (B04 / B06)", "minerals with Al-OH: mica, kaolinite, smectite", NINOMIYA_SWIR, f"{_DRY}; {_GAP}"
    ),
    "ferric_iron": IndexSpec(
        "B02 / B01", "hematite, goethite, jarosite (ferric iron)", f"Rowan and CSIRO, in {MANUAL}", _PLANTS
    ),
    "ferrous_iron": IndexSpec(
        "B05 / B3N + B01 / B02",
        "chlorite, amphibole, pyroxene, olivine (ferrous iron)",
        f"Rowan, in {MANUAL}",
        f"ferric iron lowers it; {_GAP}",
    ),
    "gossan": IndexSpec(
        "B04 / B02", "iron-stained, oxidised sulphides", f"Volesky, in {MANUAL}", f"{_DARK}; {_PLANTS}"
    ),
    "laterite": IndexSpec(
        "B04 / B05",
        "clay of laterite and argillic alteration",
        f"Bierwirth and Volesky, in {MANUAL}",
        f"{_DRY}; {_GAP}",
    ),
    "quartz": IndexSpec(
        "B11 * B11 / (B10 * B12)",
        "quartz (silicification, quartzite, sand)",
        NINOMIYA_TIR,
        "over radiance or emissivity; gypsum lowers it, desert sand raises it; cells of 90 m",
    ),
    "carbonate": IndexSpec(
        "B13 / B14", "calcite, dolomite", NINOMIYA_TIR, "over radiance or emissivity; mafic rock too; cells of 90 m"
    ),
    "mafic": IndexSpec(
        "B12 * B14 ** 3 / B13 ** 4",
        "mafic and ultramafic rock (pyroxene, olivine)",
        NINOMIYA_TIR,
        "over radiance or emissivity; quartz lowers it more than mafic rock raises it; cells of 90 m",
    ),
}

_SENTINEL2 = {
    "iron_oxide": IndexSpec("B04 / B02", "hematite, goethite, limonite", SABINS, f"{_PLANTS}; haze lowers it"),
    "ferric_iron": IndexSpec("B04 / B03", "hematite, goethite (ferric iron)", CONTINUITY, _PLANTS),
    "ferrous_iron": IndexSpec(
        "B12 / B08 + B03 / B04", "chlorite, amphibole, pyroxene (ferrous iron)", CONTINUITY, "clay lowers it"
    ),
    "gossan": IndexSpec("B11 / B04", "iron-stained, oxidised sulphides", CONTINUITY, f"{_DARK}; {_PLANTS}"),
    "laterite": IndexSpec("B11 / B12", "clay of laterite", CONTINUITY, f"the formula of clay; {_PLANTS}"),
    "clay": IndexSpec(
        "B11 / B12",
        "minerals with OH: kaolinite, alunite, mica, chlorite; carbonate",
        SABINS,
        f"one broad band for all of them; {_PLANTS}, which hold water",
    ),
}

_LANDSAT8 = {
    "iron_oxide": IndexSpec("B4 / B2", "hematite, goethite, limonite", SABINS, f"{_PLANTS}; haze lowers it"),
    "ferric_iron": IndexSpec("B4 / B3", "hematite, goethite (ferric iron)", CONTINUITY, _PLANTS),
    "ferrous_iron": IndexSpec(
        "B7 / B5 + B3 / B4", "chlorite, amphibole, pyroxene (ferrous iron)", CONTINUITY, "clay lowers it"
    ),
    "ferrous_minerals": IndexSpec(
        "B6 / B5",
        "minerals with iron, ferrous and ferric",
        SEGAL,
        f"both absorb near 0.9 µm, and {CONTINUITY} calls the same ratio ferric oxides; {_PLANTS}",
    ),
    "gossan": IndexSpec("B6 / B4", "iron-stained, oxidised sulphides", CONTINUITY, f"{_DARK}; {_PLANTS}"),
    "clay": IndexSpec(
        "B6 / B7",
        "minerals with OH: kaolinite, alunite, mica, chlorite; carbonate",
        SABINS,
        f"one broad band for all of them; {_PLANTS}, which hold water",
    ),
}

INDICES: Mapping[str, Mapping[str, IndexSpec]] = {"sentinel2": _SENTINEL2, "landsat8": _LANDSAT8, "aster": _ASTER}
"""Sensor -> name -> index; landsat8 is Landsat 8 and 9."""


def index_expression(sensor: str, index: str) -> Expression:
    """The expression of an index over canonical band names.

    Raises:
        SceneError: no such sensor, or no such index of it: with the nearest right one, and who has it otherwise.
    """
    bands, own = sensor_bands(sensor), INDICES[sensor]
    if index not in own:
        others = [name for name, indices in INDICES.items() if index in indices]
        elsewhere = f" ({' and '.join(others)} have it)" if others else ""
        raise SceneError(f"{sensor} has no index {index!r:.60}{elsewhere}; {nearest(index, own)}")
    return parse(own[index].expression, bands)
