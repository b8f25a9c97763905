"""The rivals of labels: connected components of 8 neighbours by the libraries that have them."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from scipy import ndimage

from .baselines import Call, with_library
from .gate import Missing


def scipy_label(mask: np.ndarray) -> Call:
    """scipy.ndimage.label with 8 neighbours."""
    touching = np.ones((3, 3), np.int8)

    def call() -> np.ndarray:
        labels = np.empty(mask.shape, np.int32)
        ndimage.label(mask, structure=touching, output=labels)
        return labels

    return call


def opencv_label(mask: np.ndarray) -> Call | Missing:
    """cv2.connectedComponents with 8 neighbours."""
    cells = mask.astype(np.uint8)

    def build(cv2: ModuleType) -> Call:
        cv2.setNumThreads(1)
        return lambda: cv2.connectedComponents(cells, connectivity=8, ltype=cv2.CV_32S)[1]

    return with_library("cv2", "opencv-python-headless", build)


def scikit_image_label(mask: np.ndarray) -> Call | Missing:
    """skimage.measure.label of bool cells, for which it has an algorithm of its own."""
    return with_library("skimage.measure", "scikit-image", lambda measure: lambda: measure.label(mask, connectivity=2))


def cc3d_label(mask: np.ndarray) -> Call | Missing:
    """cc3d.connected_components of bool cells, by its decision tree for 8 neighbours, to 32 bits."""
    return with_library(
        "cc3d",
        "connected-components-3d",
        lambda cc3d: lambda: cc3d.connected_components(mask, connectivity=8, out_dtype=np.uint32),
    )
