"""A seeded district with planted deposits, any size, written tile by tile: for the demo, the tests, the benchmarks."""

from mpmjax.synthetic.district import make_district, make_kajan_like
from mpmjax.synthetic.scenario import Scenario

__all__ = ["Scenario", "make_district", "make_kajan_like"]
