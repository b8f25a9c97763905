"""Files that would make GDAL read another file or call a host: traced, none is opened and nobody is called."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio
from districts import write_raster
from headers import Reader
from hosts import listening, vrt, wms
from raster_seeds import write
from rasterio.errors import NotGeoreferencedWarning

from mpmjax.errors import DataError
from mpmjax.evidence.raster.source import parse_crs
from mpmjax.stream.reader import RASTER_DRIVERS, open_raster

pytestmark = pytest.mark.faults

TRACE = ("strace", "-f", "-qq", "-e", "trace=open,openat,socket,connect", "-o")

Make = Callable[[Path, Path, str], Path]
"""Writes a disguise: into which folder, the secret file, the address of a host. Returns what is opened."""


def img_of_cells_elsewhere(folder: Path, secret: Path, host: str) -> Path:
    """An Erdas Imagine file whose cells are the secret's. The names are of one length."""
    elsewhere = b"../private/secret.ige"
    path = write(folder / f"{'a' * 17}.img", "uint8", driver="HFA", USE_SPILL="YES")
    path.with_suffix(".ige").unlink()
    content = path.read_bytes().replace(path.with_suffix(".ige").name.encode(), elsewhere)
    assert elsewhere in content
    path.write_bytes(content)
    return path


def sound(folder: Path, beside: Mapping[str, str]) -> Path:
    for name, content in beside.items():
        (folder / name).write_text(content)
    values = np.random.default_rng(1).integers(1, 99, (60, 60)).astype(np.uint8)
    return write_raster(folder / "a.tif", values)


def sidecar(items: str) -> str:
    return f"<PAMDataset>{items}</PAMDataset>"


def domain(name: str, key: str, value: str) -> str:
    return sidecar(f'<Metadata domain="{name}"><MDI key="{key}">{value}</MDI></Metadata>')


def mask_with_overviews_elsewhere(folder: Path, secret: Path, host: str) -> Path:
    elsewhere = domain("OVERVIEWS", "OVERVIEW_FILE", f"/vsicurl/http://{host}/o.tif")
    path = sound(folder, {"a.tif.msk.ovr": vrt(str(secret)), "a.tif.msk.aux.xml": elsewhere})
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.eye(60, dtype=bool))
    return path


def aux_of_erdas(folder: Path, secret: Path, host: str) -> Path:
    shutil.move(img_of_cells_elsewhere(folder, secret, host), folder / "a.aux")
    return sound(folder, {})


def text_grid(folder: Path, projection: str) -> Path:
    path = write(folder / "a.bil", "int16", driver="EHdr")
    (folder / "a.prj").write_text(projection)
    return path


def named(suffix: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / f"a{suffix}").write_text(content)
        return folder / f"a{suffix}"

    return make


def disguises(secret: Path, host: str) -> dict[str, Callable[[Path], Path]]:
    """Name -> who writes it. Those that begin with "beside" are sound rasters with a trap beside them."""
    far = f"/vsicurl/http://{host}/a.tif"
    contents = {"file": vrt(str(secret)), "relative": vrt("../private/secret.tif"), "host": vrt(far), "wms": wms(host)}
    found = {
        f"{name} as {suffix}": named(suffix, content) for name, content in contents.items() for suffix in RASTER_DRIVERS
    }
    paths = (far, f"http://{host}/a.tif", f"/vsicurl?url=http://{host}/a.tif", f"vrt://{secret}?bands=1",
             f"GTIFF_DIR:1:{secret}", f"/vsisubfile/0_9999,{secret}", f"/vsizip/{secret}/a.tif", wms(host))  # fmt: skip
    found |= {f"path {path[:30]}": lambda _, path=path: Path(path) for path in paths}
    found["cells elsewhere"] = lambda folder: img_of_cells_elsewhere(folder, secret, host)
    found["mask is a vrt"] = lambda folder: sound(folder, {"a.tif.msk": vrt(far)})
    found["mask is a vrt of a file"] = lambda folder: sound(folder, {"a.tif.MSK": vrt(str(secret))})
    beside = {
        "overviews as a vrt": {"a.tif.ovr": vrt(far)},
        "overviews of a file": {"a.tif.ovr": vrt(str(secret))},
        "overviews named": {"a.tif.aux.xml": domain("OVERVIEWS", "OVERVIEW_FILE", str(secret))},
        "overviews named far": {"a.tif.aux.xml": domain("OVERVIEWS", "OVERVIEW_FILE", far)},
        "places named": {"a.tif.aux.xml": domain("GEOLOCATION", "X_DATASET", far)},
        "a vrt inside": {"a.tif.aux.xml": sidecar(f'<Metadata domain="xml:VRT" format="xml">{vrt(far)}</Metadata>')},
        "crs of a host": {"a.tif.aux.xml": sidecar(f"<SRS>http://{host}/crs</SRS>")},
        "crs of a file": {"a.tif.aux.xml": sidecar(f"<SRS>{secret}</SRS>")},
        "heights of a host": {"a.tif.aux.xml": domain("RPC", "RPC_DEM", far)},
        "a table": {"a.tab": f'!table\nDefinition Table\nFile "{secret}"\nType "RASTER"\n', "a.tfw": far},
    }
    found |= {f"beside: {name}": lambda folder, own=own: sound(folder, own) for name, own in beside.items()}
    found["beside: mask with overviews"] = lambda folder: mask_with_overviews_elsewhere(folder, secret, host)
    found["beside: an Erdas file"] = lambda folder: aux_of_erdas(folder, secret, host)
    found["beside: .prj of a host"] = lambda folder: text_grid(folder, f"http://{host}/crs")
    found["beside: .prj of a file"] = lambda folder: text_grid(folder, str(secret))
    return found


def make_secret(folder: Path) -> Path:
    """A raster, and cells for an Erdas file, that nothing may read."""
    folder.mkdir()
    write(folder / "secret.img", "uint8", driver="HFA", USE_SPILL="YES")
    return write(folder / "secret.tif", "uint8")


def traced(log: Path) -> tuple[str, ...]:
    """strace, where there is one that may trace; without, connections are still counted, and refusals seen."""
    return (*TRACE, str(log)) if shutil.which("strace") else ()


def test_nothing_else_is_opened_and_nobody_is_called(tmp_path: Path) -> None:
    secret, log = make_secret(tmp_path / "private"), tmp_path / "trace.log"
    control = tmp_path / "control.tif"
    shutil.copy(secret, control)
    with listening() as (host, calls), Reader(tmp_path, command=traced(log)) as reader:
        for number, (name, make) in enumerate(disguises(secret, host).items()):
            folder = tmp_path / f"case {number}"
            folder.mkdir()
            said = reader.ask(make(folder))
            kinds = ("refused", "read") if name.startswith("beside") else ("refused",)
            assert said["kind"] in kinds, f"{name}: {said}"
        assert reader.ask(control)["kind"] == "read"
        reader.stop()
        assert not calls
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{host}/control", timeout=5)
        assert len(calls) == 1, "a call would have been counted"
    if log.exists():
        said = log.read_text(errors="replace")
        assert "control.tif" in said, "what is opened is traced"
        assert not re.findall(r".*private/secret.*", said)
        assert not re.findall(r".*(?:AF_INET|connect\().*", said)


def test_a_folder_called_like_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name is taken from here, whatever it begins with."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.tif", "uint8")
    with listening() as (host, calls):
        folder = Path(f"http:/{host}")
        folder.mkdir(parents=True)
        write(folder.absolute() / "a.tif", "int16")
        with open_raster(folder / "a.tif") as dataset:
            assert dataset.dtypes == ("int16",)
        assert not calls
    shutil.copy(folder / "a.tif", "GTIFF_DIR:1:other.tif")
    with open_raster(Path("GTIFF_DIR:1:other.tif")) as dataset:
        assert dataset.dtypes == ("int16",), "not those of other.tif"


@pytest.mark.parametrize("text", ["http://{}/a", "ESRI::http://{}/a", " https://{}/a", "/vsicurl/http://{}/a"])
def test_a_crs_that_is_an_address(text: str) -> None:
    with listening() as (host, calls):
        with pytest.raises(DataError, match="is an address, and none is called"):
            parse_crs(text.format(host), "layer 'x'")
        assert not calls
