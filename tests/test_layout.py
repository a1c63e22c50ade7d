"""The architecture: arrows between rooms run one way, and files stay short."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "sah_jax"
# Each room may import from itself and from those before it.
ROOMS = (
    "coding", "models", "tasks", "training", "programs", "planning",
    "studies", "complexity", "reports", "cli")
OPEN_TO_ALL = ("errors", "hosts", "numerics", "version")
CODING_LIBRARIES = {"jax", "numpy"}
MAX_LINES = 400

FILES = sorted(PACKAGE.rglob("*.py"))


def _room(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: pathlib.Path) -> set[str]:
    """Returns the dotted names that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", [p for p in FILES if _room(p) in ROOMS], ids=str)
def test_arrows_run_one_way(path):
    allowed = {*ROOMS[: ROOMS.index(_room(path)) + 1], *OPEN_TO_ALL}
    own = {name.split(".")[1] for name in _imports(path) if name.startswith("sah_jax.")}
    assert own <= allowed


@pytest.mark.parametrize("path", [p for p in FILES if _room(p) == "coding"], ids=str)
def test_coding_knows_no_other_library(path):
    used = {name.split(".")[0] for name in _imports(path)} - {"sah_jax", "__future__"}
    assert used - set(sys.stdlib_module_names) <= CODING_LIBRARIES


def test_files_are_short():
    sources = [*FILES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("scripts/*")]
    long = {str(path.relative_to(ROOT)): count for path in sources if path.is_file()
            if (count := len(path.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_nothing_unpickles_or_evaluates():
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    for path in FILES:
        assert not {name.split(".")[0] for name in _imports(path)} & forbidden, path
        calls = {node.func.id for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert not calls & {"eval", "exec", "__import__"}, path
