"""project.toml as frozen models, one section a stage.

It speaks early: a mistake names the field, the value got and what is allowed, and an unknown key the nearest right
one, before any data are opened. What each key may hold: project_layers.py for [[layers]], project_samples.py and
project_scenes.py for what layers are made from, project_sections.py for the rest; what must agree between sections:
project_checks.py.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from mpmjax.errors import ProjectError
from mpmjax.project_checks import require_grid, require_inputs, require_layers, require_samples, require_scenes
from mpmjax.project_errors import explain
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import SamplesSection
from mpmjax.project_scenes import InputSection, SceneSection
from mpmjax.project_sections import (
    GridSection,
    ModelSection,
    ProjectInfo,
    Section,
    StreamSection,
    TargetsSection,
    ValidateSection,
)

LONGEST_NAME = 255
"""Bytes of a name in a path, on every usual file system."""


class Project(Section):
    """A whole project. `folder` is where relative paths start, `file` and `text` the project file, if there is one."""

    folder: Path = Path()
    file: Path | None = None
    text: bytes | None = None
    project: ProjectInfo
    grid: GridSection = GridSection()
    layers: Annotated[tuple[LayerSection, ...], Field(strict=False)]
    samples: Annotated[tuple[SamplesSection, ...], Field(strict=False)] = ()
    inputs: Annotated[tuple[InputSection, ...], Field(strict=False)] = ()
    scenes: Annotated[tuple[SceneSection, ...], Field(strict=False)] = ()
    model: ModelSection = ModelSection()
    stream: StreamSection = StreamSection()
    targets: TargetsSection = TargetsSection()
    validate_: ValidateSection | None = Field(default=None, alias="validate")

    @model_validator(mode="after")
    def _cross_checks(self) -> Project:
        require_layers(self.layers, self.model.latent)
        require_grid(self.grid, self.layers, self.inputs, self.scenes)
        require_samples(self.samples, self.layers)
        require_scenes(self.scenes, self.layers)
        require_inputs(self.inputs, self.layers)
        return self

    @property
    def sources(self) -> tuple[tuple[str, Path], ...]:
        """All files that layers are made from, each with what messages call the section that names it."""
        layers = [(f"layer {layer.name!r}", path) for layer in self.layers for path in layer.files]
        inputs = [(f"input {item.name!r}", item.source) for item in self.inputs]
        return (*layers, *inputs, *((f"scene {scene.name!r}", path) for scene in self.scenes for path in scene.files))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the project names, as it names them."""
        known = self.validate_.occurrences if self.validate_ else None
        named = (*(path for _, path in self.sources), self.grid.mask, known)
        return tuple(path for path in named if path is not None)

    def samples_of(self, source: Path) -> SamplesSection:
        """The rules of a file of samples: those stated, or the defaults."""
        return next((rules for rules in self.samples if rules.source == source), SamplesSection(source=source))

    def layer(self, name: str) -> LayerSection:
        """The section of a layer."""
        return next(section for section in self.layers if section.name == name)

    def scene(self, name: str | None) -> SceneSection:
        """The section of a scene."""
        return next(section for section in self.scenes if section.name == name)

    def path(self, path: Path) -> Path:
        """A path of the project file made absolute: environment variables filled in, relative to `folder`."""
        whole = self.folder / expand(path)
        long = next((part for part in whole.parts if len(os.fsencode(part)) > LONGEST_NAME), None)
        if long is not None:
            raise ProjectError(f"{long[:40]}...: a name of {len(long)} characters, which no file can have.")
        return whole


def expand(path: Path) -> Path:
    """Fill in `${NAME}`; raises ProjectError when the environment does not hold NAME."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ProjectError(f"{path}: the environment variable {name} is not set; set it to the folder of the data.")
        return os.environ[name]

    return Path(re.sub(r"\$\{(\w+)\}", value, str(path)))


def load_project(path: str | Path) -> Project:
    """Read and validate a project file.

    Raises:
        ProjectError: missing or unreadable file, no valid TOML, or any wrong field (all of them in one message).
    """
    path = Path(path)
    try:
        text = path.read_bytes()
        content = tomllib.loads(text.decode("utf-8-sig"))  # Windows editors put a mark in front
    except FileNotFoundError as error:
        raise ProjectError(f"{path}: no such project file.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: cannot be read as text: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number too long, or nested too deep
        raise ProjectError(f"{path}: not valid TOML: {error}.") from error
    for own in ("folder", "file", "text"):  # fields of ours, unknown keys in a file
        if own in content:
            raise ProjectError(f"{path}: 1 mistake in the project file.\n  {own}: unknown key.")
    try:
        return Project(folder=path.absolute().parent, file=path.absolute(), text=text, **content)
    except ValidationError as error:
        raise ProjectError(explain(error, path, content, Project)) from error
