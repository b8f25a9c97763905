"""Runs a module of another checkout with this environment: python -P launch.py CHECKOUT MODULE [ARGUMENT]...

An editable installation knows one checkout, and would give its benchmarks, kernels and examples to the package of any
other. Here they all come from CHECKOUT or not at all. MODULE is named without its package, `run`: benchmarks were a
package of their own once. Only the standard library is used.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

BESIDE = ("benchmarks", "kernels", "examples")
"""Folders beside src/ that ship in the package."""


class Beside(MetaPathFinder):
    """Finds the folders beside src/ of one checkout, before any installation does."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package in its folder; None for what is somebody else's to find.

        Raises:
            ModuleNotFoundError: the checkout has no such folder.
        """
        package, _, name = fullname.rpartition(".")
        if package != "mpmjax" or name not in BESIDE:
            return None
        folder = self._checkout / name
        if not (folder / "__init__.py").is_file():
            raise ModuleNotFoundError(f"{self._checkout} has no {name}/__init__.py", name=fullname)
        return spec_from_file_location(fullname, folder / "__init__.py", submodule_search_locations=[str(folder)])


def main(argv: Sequence[str]) -> None:
    """Run the module as a program; its exit status is this program's."""
    checkout, module, *arguments = argv
    root = Path(checkout).resolve()
    sys.path.insert(0, str(root / "src"))
    sys.meta_path.insert(0, Beside(root))
    shipped = '"mpmjax.benchmarks"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    if not shipped:
        sys.path.insert(0, str(root))
    package = find_spec("mpmjax")
    if package is None or not Path(package.origin or "").is_relative_to(root):
        sys.exit(f"{root} has no src/mpmjax to time")
    sys.argv = [module, *arguments]
    runpy.run_module(f"mpmjax.benchmarks.{module}" if shipped else f"benchmarks.{module}", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
