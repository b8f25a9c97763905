"""Whether layers are those that a Screener was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpmjax.errors import ScreenerError
from mpmjax.scoring.drift import Sampled
from mpmjax.types import Evidence, Screener


def require_layers(screener: Screener, evidence: Evidence, transforms: Sequence[str]) -> None:
    """Refuse layers that are not those that the Screener was fitted on, or are meant otherwise.

    Args:
        transforms: the project's, a layer each.

    Raises:
        ScreenerError: names the layer, and what the fit and the project say.
    """
    if screener.layer_names != tuple(layer.name for layer in evidence.layers):
        raise ScreenerError(
            f"The Screener was fitted on the layers {', '.join(screener.layer_names)}; the project has "
            f"{', '.join(layer.name for layer in evidence.layers)}. Names and order must be the same."
        )
    # A membership in values themselves (large, small, category) carries no transform, whatever the project says.
    fitted = (m.transform for m in screener.memberships)
    for layer, record, stated, own in zip(evidence.layers, screener.layers, transforms, fitted, strict=True):
        here = {"role": layer.role, "direction": layer.direction, "weight": layer.weight}
        there = {key: record[key] for key in here}
        # A name means what it meant in the fit only if it stands for the same values.
        here["derivation"], there["derivation"] = dict(layer.derivation), record["derivation"]
        here["codes"], there["codes"] = _codes(layer.codes), _codes(record["codes"])
        if own != "none":
            here["transform"], there["transform"] = stated, own
        for key, value in here.items():
            if value != there[key]:
                raise ScreenerError(
                    f"layer {layer.name!r}: the Screener was fitted with {key} {there[key]!r}, the project says "
                    f"{value!r}. A Screener is used as it was fitted: make the project agree, or fit again."
                )
    Sampled(screener, evidence.layers)  # refuses a Screener that cannot tell what it was fitted on


def _codes(codes: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [float(value) for value in values] for name, values in sorted(codes.items())}
