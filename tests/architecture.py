"""The house rules of the code as a checker: which room may import which, what may be where, how long things may be.

Every rule is a function of a repository root that reads the sources by `ast`, imports nothing of them, and returns
sentences: one a violation, none if all is well. Rooms that do not exist yet are no violation.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "mpmjax"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "products", "errors", "reference", "kernels", "examples"),
    ("project", "synthetic"),
    ("ops", "stream"),
    ("autoencoder", "scoring", "evidence", "reporting"),
    ("cost",),
    ("stages",),
    ("pipeline",),
    ("benchmarks",),
    ("cli",),
    ("__main__",),
)
"""Imports go from a later floor to an earlier one, or stay inside one room."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

HOMES: Mapping[str, tuple[str, ...]] = {
    "cupy": ("ops/cuda.py",),
    "cupyx": ("ops/cuda.py",),
    "cupy_backends": ("ops/cuda.py",),
    "jax": ("autoencoder/", "ops/"),
    "jaxlib": ("autoencoder/", "ops/"),
    "flax": ("autoencoder/", "ops/"),
    "optax": ("autoencoder/", "ops/"),
}
"""Heavy libraries and the only places, relative to the package, that may import them."""

NOT_OPS = ("__init__", "backend", "cuda", "interop", "plan")
COMPILED = ("compiled", "njit", "jit", "guvectorize", "vectorize", "stencil", "cfunc", "intrinsic")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


@dataclass(frozen=True)
class Import:
    """One import statement, seen from where it stands.

    Attributes:
        target: dotted name that is imported; for `from a import b`, `a.b` if that is a module of ours, else `a`.
        line: line number.
        deferred: True inside a function or under TYPE_CHECKING: it does not run when the module is loaded.
    """

    target: str
    line: int
    deferred: bool


def source_files(root: Path) -> dict[str, Path]:
    """Module name -> file of the package as installed: src/mpmjax with benchmarks/, kernels/ and examples/ in it."""
    folders = {
        PACKAGE: root / "src" / PACKAGE,
        f"{PACKAGE}.benchmarks": root / "benchmarks",
        f"{PACKAGE}.kernels": root / "kernels",
        f"{PACKAGE}.examples": root / "examples",
    }
    files: dict[str, Path] = {}
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            names = parts[:-1] if parts[-1] == "__init__" else parts
            files[".".join((prefix, *names))] = path
    return files


def room_of(module: str) -> str:
    """First name below the package. A top-level file shares its room with its `name_*` siblings; "" is the package."""
    name = module.split(".")[1] if "." in module else ""
    return name if name.startswith("_") else name.split("_")[0]


def imports_of(path: Path, module: str, modules: Mapping[str, Path]) -> list[Import]:
    """All imports of a file, those in functions and those by `importlib.import_module("literal")` too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[Import] = []
    for node, deferred in _walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), False):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, deferred) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.append(Import(name if name in modules else base, node.lineno, deferred))
        elif isinstance(node, ast.Call) and _last_name(node) in ("import_module", "__import__"):
            found += [
                Import(argument.value, node.lineno, deferred)
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
    return found


def floors(root: Path) -> list[str]:
    """Imports go down; rooms of one floor, and stages, do not know each other; the package itself only defers."""
    modules = source_files(root)
    wrong: list[str] = []
    for module, path in modules.items():
        here = room_of(module)
        if here and here not in FLOOR:
            wrong.append(f"{module}: room {here!r} has no floor; give it one in tests/architecture.py")
            continue
        for item in imports_of(path, module, modules):
            if item.target.split(".")[0] == PACKAGE and item.target != module:
                sentence = _objection(here, room_of(item.target), item)
                wrong += [f"{module}:{item.line}: {sentence}"] if sentence else []
    return wrong


def _objection(here: str, there: str, item: Import) -> str:
    """Why a module of room `here` may not import `item`, which lies in room `there`; empty if it may."""
    if not here:
        return "" if item.deferred or not there else f"the package imports {item.target} when it is loaded; defer it"
    if not there:
        return "imports the package itself; import from the module that defines the name"
    if there == here:
        return f"a stage imports {item.target}; a stage imports no stage" if here == "stages" else ""
    if there not in FLOOR:
        return f"imports {item.target}, whose room has no floor"
    if FLOOR[there] >= FLOOR[here]:
        return f"{here} (floor {FLOOR[here]}) imports {item.target} (floor {FLOOR[there]})"
    return ""


def cycles(root: Path) -> list[str]:
    """Import cycles between modules, deferred imports counted. Importing a.b runs a/__init__.py as well."""
    modules = source_files(root)
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        edges: set[str] = set()
        for item in imports_of(path, module, modules):
            names = item.target.split(".")
            edges |= {".".join(names[:end]) for end in range(1, len(names) + 1)}
        own = {module, *(module[:at] for at, letter in enumerate(module) if letter == ".")}
        graph[module] = {edge for edge in edges - own if edge in modules}
    return [" -> ".join(cycle) for cycle in _find_cycles(graph)]


def homes(root: Path) -> list[str]:
    """Libraries that only some rooms may import."""
    modules = source_files(root)
    wrong: list[str] = []
    for path in sorted((root / "src" / PACKAGE).rglob("*.py")):
        place = path.relative_to(root / "src" / PACKAGE).as_posix()
        for item in imports_of(path, PACKAGE, modules):
            library = item.target.split(".")[0]
            allowed = HOMES.get(library, (place,))
            if not any(place == home or (home.endswith("/") and place.startswith(home)) for home in allowed):
                wrong.append(f"{place}:{item.line}: imports {library}; only {', '.join(allowed)} may")
    return wrong


def judges_and_rivals(root: Path) -> list[str]:
    """Benchmarks import no tests; tests import no benchmarks, except those that test the benchmarks."""
    wrong: list[str] = []
    own = {path.stem for path in (root / "tests").glob("*.py")} | {"tests"}
    for path in sorted((root / "benchmarks").rglob("*.py")):
        for item in imports_of(path, path.stem, {}):
            if item.target.split(".")[0] in own:
                wrong.append(f"{path.relative_to(root)}:{item.line}: a benchmark imports {item.target} of the tests")
    for path in sorted((root / "tests").rglob("*.py")):
        if (root / "tests" / "benchmarks") in path.parents:
            continue
        for item in imports_of(path, path.stem, {}):
            if item.target.split(".")[:2] == [PACKAGE, "benchmarks"]:
                wrong.append(f"{path.relative_to(root)}:{item.line}: a test imports {item.target}")
    return wrong


def lengths(root: Path) -> list[str]:
    """Files of at most 400 lines; functions of at most 60 and a docstring, what Numba compiles excepted."""
    wrong: list[str] = []
    for folder in ("src", "kernels", "examples", "benchmarks", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(root)
            lines = len(text.splitlines())
            if lines > MAX_FILE_LINES:
                wrong.append(f"{name}: {lines} lines, at most {MAX_FILE_LINES}")
            for node in ast.walk(ast.parse(text, str(path))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _compiled(node):
                    length = _length(node)
                    if length > MAX_FUNCTION_LINES:
                        wrong.append(
                            f"{name}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
                        )
    return wrong


def ops_complete(root: Path) -> list[str]:
    """Each op has its definition in reference/, its tests, and a case in the benchmarks."""
    cases = _case_names(root / "benchmarks" / "cases.py")
    wrong: list[str] = []
    for path in sorted((root / "src" / PACKAGE / "ops").glob("*.py")):
        name = path.stem
        if name in NOT_OPS or name.startswith("_"):
            continue
        if not (root / "src" / PACKAGE / "reference" / f"{name}.py").is_file():
            wrong.append(f"ops/{name}.py: reference/{name}.py, its definition, is missing")
        if not (root / "tests" / "ops" / f"test_{name}.py").is_file():
            wrong.append(f"ops/{name}.py: tests/ops/test_{name}.py is missing")
        if name not in cases:
            wrong.append(f"ops/{name}.py: benchmarks/cases.py has no case {name!r} in CASES")
    return wrong


def _walk(node: ast.AST, deferred: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below, with whether they run later than the module: in a function, or for type checkers only."""
    yield node, deferred
    for_types = isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING"
    inside = deferred or for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, inside)


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _compiled(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(_last_name(decorator) in COMPILED for decorator in node.decorator_list)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring and compiled functions defined inside."""
    inner: list[ast.AST] = [
        child
        for child in ast.walk(node)
        if child is not node and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and _compiled(child)
    ]
    if ast.get_docstring(node, clean=False) is not None:
        inner.append(node.body[0])
    return _span(node) - sum(_span(child) for child in inner)


def _span(node: ast.AST) -> int:
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return last - first + 1


def _case_names(path: Path) -> set[str]:
    """The keys of the literal `CASES` in benchmarks/cases.py."""
    if not path.is_file():
        return set()
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        named = any(isinstance(target, ast.Name) and target.id == "CASES" for target in targets)
        if named and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            return {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return set()


def _find_cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """One cycle for each back edge of a depth-first walk, as the path that closes it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
            return
        if module in done:
            return
        for target in sorted(graph.get(module, ())):
            visit(target, [*path, module])
        done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found
