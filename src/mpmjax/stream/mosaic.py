"""Cloud-optimised GeoTIFFs (COGs) of finished tiles: joined where they stand, written by GDAL, and read back.

A corrupt tile would go through unnoticed, so only tiles that were just held against the manifest are joined, and of the
COG every tile's pixels are held against the manifest again. Its bytes depend on the cells alone, not on tiles or
workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what rasterio.shutil raises; rasterio.errors has no name for it
from rasterio.errors import RasterioError

from mpmjax.errors import DiskError
from mpmjax.products import Product
from mpmjax.stream.files import publish, write_file
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.manifest import TileRow
from mpmjax.stream.outlet import watched
from mpmjax.stream.tilestore import TileStore, crc
from mpmjax.types import Grid, Tile

BLOCK = 512
GDAL_TYPES = {"float32": "Float32", "uint8": "Byte", "int32": "Int32"}


def join_tiles(
    store: TileStore, tiles: Sequence[Tile], rows: Mapping[int, TileRow], grid: Grid, product: Product
) -> Path:
    """A virtual mosaic (VRT) of one product in the store's folder: a VRT a row of tiles, and one of all rows.

    GDAL looks through all sources of a VRT for every block it reads; in two steps that are few. Each row is a column
    wider than what is used of it: of sources that are used whole GDAL adds up the statistics by shares of valid cells
    in hundredths of a percent, so that they would depend on the tiles, and be a little off.
    """
    part, band = store.place(product)
    by_row: dict[int, list[Tile]] = {}
    for tile in tiles:
        by_row.setdefault(tile.row, []).append(tile)
    lines = []
    for number, line in enumerate(by_row.values()):
        sources = []
        for tile in line:
            sizes = rows[tile.index].sizes
            inside = f"/vsisubfile/{sum(sizes[:part])}_{sizes[part]},{store.path(tile.index).absolute()}"
            sources.append(_source(inside, band, product, replace(tile, row=0)))
        path = store.folder / f"{product.name}.{number}.vrt"
        write_file(path, _vrt(grid.width + 1, line[0].height, "", product, sources))
        used = Tile(0, line[0].row, 0, line[0].height, grid.width)
        lines.append(_source(str(path.absolute()), 1, product, used, grid.width + 1))
    crs, corner = rasterio.CRS.from_user_input(grid.crs).to_wkt(), ", ".join(map(repr, grid.transform.to_gdal()))
    place = f"<SRS>{escape(crs)}</SRS><GeoTransform>{corner}</GeoTransform>"
    path = store.folder / f"{product.name}.vrt"
    return write_file(path, _vrt(grid.width, grid.height, place, product, lines))


def _vrt(width: int, height: int, place: str, product: Product, sources: Iterable[str]) -> str:
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place}'
        f'<VRTRasterBand dataType="{GDAL_TYPES[product.dtype]}" band="1" blockXSize="{BLOCK}" blockYSize="{BLOCK}">'
        f"<Description>{escape(product.description)}</Description><UnitType>1</UnitType>"
        f"<NoDataValue>{product.nodata:g}</NoDataValue>{''.join(sources)}</VRTRasterBand></VRTDataset>"
    )


def _source(path: str, band: int, product: Product, at: Tile, width: int | None = None) -> str:
    """A source of a VRT; its size and type are stated, so that GDAL opens none before it reads it.

    Args:
        width: of the source, where only its first `at.width` columns are used.
    """
    kind = f'DataType="{GDAL_TYPES[product.dtype]}" BlockXSize="{BLOCK}" BlockYSize="{BLOCK}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>"
        f'<SourceProperties RasterXSize="{width or at.width}" RasterYSize="{at.height}" {kind}/>'
        f'<SrcRect xOff="0" yOff="0" xSize="{at.width}" ySize="{at.height}"/>'
        f'<DstRect xOff="{at.col}" yOff="{at.row}" xSize="{at.width}" ySize="{at.height}"/></SimpleSource>'
    )


def build_cog(source: Path, temporary: Path, product: Product) -> Path:
    """A COG with overviews and statistics, of what GDAL reads as one raster.

    Raises:
        DiskError: it cannot be written.
    """
    floating = product.dtype == "float32"
    try:
        with watched(temporary) as name:
            rasterio.shutil.copy(
                source,
                name,
                driver="COG",
                BLOCKSIZE=str(BLOCK),
                COMPRESS="DEFLATE",  # the one compression that every GIS reads
                LEVEL="4",
                PREDICTOR="YES",
                OVERVIEW_RESAMPLING="AVERAGE" if floating else "MODE",
                STATISTICS="YES",
                BIGTIFF="IF_SAFER",
            )
    except (OSError, RasterioError, CPLE_BaseError) as error:
        raise DiskError(f"{temporary}: cannot be written ({error}). Free some disk.") from error
    return temporary


def publish_cog(temporary: Path, final: Path, tiles: Iterable[Tile], crcs: Iterable[int]) -> Path:
    """Give a COG its name, if it holds what was to be written: the pixels of every tile are read back.

    Raises:
        DiskError: it does not.
    """
    if damaged_tiles(temporary, tiles, crcs):
        raise lost(temporary)
    return publish(temporary, final)


def damaged_tiles(path: Path, tiles: Iterable[Tile], crcs: Iterable[int]) -> list[Tile]:
    """Tiles of a map whose pixels are not those of the checksums, or cannot be read; all where it cannot be opened."""
    pairs = list(zip(tiles, crcs, strict=True))
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            return [tile for tile, expected in pairs if _crc_of(dataset, tile) != expected]
    except RasterioError:  # cut short, or its header is damaged: nothing of it can be relied on
        return [tile for tile, _ in pairs]


def _crc_of(dataset: rasterio.DatasetReader, tile: Tile) -> int | None:
    try:
        return crc(dataset.read(1, window=window_of(tile)))
    except RasterioError:  # a block that cannot be decoded is damaged
        return None


def lost(path: Path) -> DiskError:
    """The error for a file that does not hold what was written to it."""
    return DiskError(f"{path}: what was written does not come back. Check the disk, or choose another folder.")
