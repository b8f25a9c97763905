"""Rasters with damaged headers: refused by a sentence, or read as GDAL alone reads them. A sample of the thousands that
tests/faults/test_headers.py reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from headers import Reader, try_all
from mutations import entries, mutate
from raster_seeds import WAYS, Seed, make_seeds

SAMPLE = range(5_000, 5_150)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_the_seeds_themselves_are_read(seeds: list[Seed], tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for seed in seeds:
            folder = tmp_path / seed.name
            folder.mkdir()
            for name, content in seed.files.items():
                (folder / name).write_bytes(content)
            said = reader.ask(folder / seed.main)
            assert said["kind"] == "read", f"{seed.name}: {said}"


def test_a_sample_is_refused_or_read_as_gdal_reads_it(seeds: list[Seed], tmp_path: Path) -> None:
    tally = try_all(seeds, SAMPLE, tmp_path)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert min(tally.kinds["refused"], tally.kinds["read"]) > len(SAMPLE) // 10, f"both are seen: {tally}"


def test_a_case_is_made_again_from_its_number(seeds: list[Seed], tmp_path: Path) -> None:
    again = make_seeds(tmp_path)
    assert [seed.name for seed in again] == list(WAYS)
    for number in SAMPLE:
        assert mutate(seeds, number) == mutate(again, number)
        assert mutate(seeds, number).damages


def test_the_tags_of_a_tiff_are_found(seeds: list[Seed]) -> None:
    """256 and 257, width and height, in every byte order and size."""
    for seed in seeds:
        if seed.main.endswith(".tif"):
            content = seed.files[seed.main]
            order = "little" if content[:2] == b"II" else "big"
            tags = [int.from_bytes(content[entry.start : entry.start + 2], order) for entry in entries(content)]
            assert {256, 257} <= set(tags), seed.name
