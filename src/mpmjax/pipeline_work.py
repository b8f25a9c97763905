"""One piece of work: its project, its output folder, what was begun there, and what it tells on the way."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TextIO

from mpmjax.autoencoder.checkpoint import ARRAYS, REST
from mpmjax.errors import DataError, DiskError, ProjectError
from mpmjax.evidence.formulas import read_formulas
from mpmjax.evidence.sources import SourceFiles, source_files
from mpmjax.ops.backend import settle as settle_backend
from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.project import Project, load_project
from mpmjax.stream.cache import LIBRARIES, Cache
from mpmjax.stream.files import write_file
from mpmjax.stream.memory import steady_heap
from mpmjax.stream.prefetch import worker_count
from mpmjax.stream.progress import Progress
from mpmjax.stream.reader import gdal_environment
from mpmjax.stream.workfolder import FINGERPRINT, LOG, SCRATCH, WorkFolder, whole, work_folder

Say = Callable[[str], None]
RECORD = "run.json"
EVIDENCE = "evidence"
"""Folder of the prepared layers inside an output folder."""
OUTPUTS = (
    *(f"{product.name}.{kind}" for product in (*PRODUCTS, CLASSES) for kind in ("tif", "qml")),
    *("targets.gpkg", ARRAYS, REST, "project.toml"),
)
"""What a run leaves besides the report and run.json, which name the checksums of these."""

NAMED = {"layers": "layer", "inputs": "input", "scenes": "scene"}
"""Sections of which there are several, each with a name."""

FITTED_HERE = {"fitted": "here"}
"""In place of a Screener's checksum where it follows from the rest."""

COMPUTING = ("jax", "jaxlib", "flax", "optax")
"""Libraries, besides those that prepared layers come from, on which the bytes of the outputs depend."""


class Run:
    """One piece of work.

    Args:
        output: folder of the outputs; default "NAME-output" beside the project file NAME.toml.
        say: gets lines; live: a terminal, which gets a line that is rewritten.
        fresh: begin anew, whatever was begun in the folder.
    """

    def __init__(
        self,
        project: Project | str | Path,
        output: str | Path | None,
        say: Say,
        command: str,
        fresh: bool = False,
        live: TextIO | None = None,
    ) -> None:
        self.project = project if isinstance(project, Project) else load_project(project)
        read_formulas(self.project)  # before anything is opened or begun
        self.output = Path(output) if output is not None else default_output(self.project)
        self.command, self.fresh = command, fresh
        self.progress = Progress(say, self.output / SCRATCH / LOG, live)
        shared = self.project.stream.cache
        self.cache = Cache(self.output / EVIDENCE if shared is None else self.project.path(shared))
        settle_backend(self.project.stream.backend)
        self._refuse_inputs_as_outputs()

    @property
    def times(self) -> dict[str, float]:
        return self.progress.times

    def say(self, line: str) -> None:
        self.progress.say(line)

    @cached_property
    def files(self) -> SourceFiles:
        """Checksums of all files that the project reads, taken when they are first asked for."""
        return source_files(self.project, self.project.files, worker_count(self.project.stream.workers))

    @contextmanager
    def workspace(self) -> Iterator[WorkFolder]:
        """Hold the output folder."""
        steady_heap()
        with gdal_environment(), work_folder(self.output) as work:
            try:
                yield work
            except BaseException:
                with suppress(OSError, DiskError):  # the failure is what must be seen
                    if self.project.stream.cache is None and not work.manifest.files():
                        self.cache.drop_if_bare()
                raise

    def claim(self, work: WorkFolder, screener: str | None = None) -> bool:
        """Go on with what was begun in the folder, or begin.

        Args:
            screener: checksum of the Screener that the maps are made with; None for one that is fitted here.

        Returns:
            Whether this very work was begun there. Otherwise what stands there is left until it is replaced.

        Raises:
            FolderError: what was begun there is something else.
        """
        begun = work.manifest.fact(FINGERPRINT) or {}
        if begun.get("Screener") == FITTED_HERE and work.manifest.files().get(REST) == screener:
            screener = None  # the one that `fit` left in this very folder
        made_with = FITTED_HERE if screener is None else {"sha256": screener}
        return work.claim({**self._fingerprint(), "Screener": made_with}, self.fresh)

    def unfinish(self) -> None:
        """What run.json tells of is going to be replaced: until it stands again the folder holds no finished run."""
        (self.output / RECORD).unlink(missing_ok=True)

    def _fingerprint(self) -> dict[str, dict[str, Any]]:
        """Everything that the maps follow from, but the Screener: not how the work is cut, nor what judges it."""
        sections = json.loads(
            self.project.model_dump_json(by_alias=True, exclude={"folder", "file", "text", "stream", "validate_"})
        )
        stated = {}
        for name, section in sections.items():
            if isinstance(section, dict):
                stated |= {f"{name}.{key}": value for key, value in section.items()}
            elif name in NAMED:
                stated |= {f"{NAMED[name]} {item['name']!r}": item for item in section}
                stated[name] = [item["name"] for item in section]
            elif name == "samples":
                stated |= {f"samples '{item['source']}'": item for item in section}
            else:
                stated[name] = section
        stated |= {"stream.backend": self.project.stream.backend, "stream.on_error": self.project.stream.on_error}
        return {
            "project": stated,
            "input": {name: digest for name, digest in self.files.sums.items() if name not in self.label_sums},
            "code": code(),
        }

    @property
    def label_sums(self) -> dict[str, str]:
        """Checksums of what judges the maps alone: the files of the known occurrences, if no layer is made of them."""
        known = self.project.validate_
        if known is None or any(path == known.occurrences for _, path in self.project.sources):
            return {}
        own = self.files.of[known.occurrences]
        return {str(known.occurrences.parent / relative): digest for relative, digest in own.items()}

    def _refuse_inputs_as_outputs(self) -> None:
        """An output may not take the place of a file that the project reads, nor the cache grow on itself."""
        written = {(self.output / name).resolve() for name in (*OUTPUTS, "report.html", RECORD)}
        kept = self.cache.folder.resolve()
        read = [self.project.path(path) for path in self.project.files]
        clash = next((p for p in read if p.resolve() in written or kept in p.resolve().parents), None)
        if clash is not None and kept in clash.resolve().parents:
            raise ProjectError(
                f"{clash}: is read by this project and lies in the folder of its prepared layers, {self.cache.folder}. "
                "Move one of them."
            )
        if clash is not None:
            raise ProjectError(f"{clash}: is read by this project and would be overwritten. Choose another --output.")

    def tidy(self) -> None:
        """Remove prepared layers that were not asked for. Not before the work is done: until then an earlier run's are
        the ones that its run.json tells of. A shared folder is left alone."""
        if self.project.stream.cache is None:
            self.cache.prune()


@cache
def code() -> dict[str, str]:
    """Versions on which the bytes of the outputs depend; of this package, its source too."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    libraries = {name: importlib.metadata.version(name) for name in (*LIBRARIES, *COMPUTING)}
    own = {"mpmjax": importlib.metadata.version("mpmjax"), "mpmjax's source": digest.hexdigest()}
    return {**own, "Python": platform.python_version(), "machine": platform.machine(), **libraries}


def default_output(project: Project) -> Path:
    """NAME-output beside the project file NAME.toml."""
    name = project.file.stem if project.file is not None else project.project.name
    return project.folder / f"{name}-output"


def read_record(output: Path) -> dict[str, Any]:
    """run.json of a finished run.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = output / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"grid", "outputs", "times", "layers"} <= record.keys():
            raise ValueError("it holds no record")
        return record
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there, so {output} holds no finished run. Run the project first.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Run the project again.") from error


def whole_record(work: WorkFolder) -> dict[str, Any] | None:
    """What run.json of the folder holds; None where there is none, or it is not what was written."""
    known = work.manifest.files().get(RECORD)
    if known is not None and not whole(work.output / RECORD, known):
        return None
    try:
        return read_record(work.output)
    except DataError:
        return None


def write_record(record: Mapping[str, Any], work: WorkFolder) -> None:
    """run.json: where it stands, everything else is whole."""
    work.add_files(write_file(work.output / RECORD, json.dumps(record, indent=1, allow_nan=False)))
