"""A seeded district with planted deposits, any size, written tile by tile: for the demo, the tests, the benchmarks."""

from mpmjax.synthetic.district import make_district, make_kajan_like

__all__ = ["make_district", "make_kajan_like"]
