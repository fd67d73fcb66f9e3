"""What is imported is declared, what is declared is imported, and what is installed is the library alone."""

import ast
import fnmatch
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("resjax", "experiments", "benchmarks", "launch")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OF_MODULE = metadata.packages_distributions()
UNSEEN = {  # declared though no file of ours imports it: who does
    "gcsfs": "etils, for gs://",
    "importlib-resources": "tensorflow-datasets",
    "tensorflow": "tensorflow-datasets, while resjax.prepare runs",
}


def normal(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements name."""
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in requirements}


BASE = names(PROJECT["project"]["dependencies"])
EXTRAS = {extra: names(lines) for extra, lines in PROJECT["project"]["optional-dependencies"].items()}
OPTIONAL = set().union(*(found for extra, found in EXTRAS.items() if extra != "test"))


def imports(node: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    """The first word of every import below a node, and whether it waits until a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name.partition(".")[0], late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module.partition(".")[0], late
        else:
            yield from imports(child, late or isinstance(child, ast.FunctionDef | ast.Lambda))


def trees(folder: str) -> Iterator[tuple[pathlib.Path, ast.Module]]:
    """The files of a folder, parsed."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def others(folder: str, own: set[str]) -> Iterator[tuple[pathlib.Path, str, bool]]:
    """What files import that is neither Python's nor in this repository."""
    for path, tree in trees(folder):
        for module, late in imports(tree):
            if module not in sys.stdlib_module_names | own | {*FOLDERS}:
                yield path, module, late


def distributions(module: str) -> set[str]:
    """Where a module may come from; one that is not installed comes from the distribution of its own name."""
    return {normal(name) for name in OF_MODULE.get(module, [module])}


PRODUCT = [found for folder in FOLDERS for found in others(folder, own=set())]


def test_what_the_product_imports_is_declared():
    wrong = [
        f"{path} imports {module}"
        for path, module, late in PRODUCT
        if not distributions(module) & (BASE | OPTIONAL if late else BASE)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_declared_is_imported():
    used = set().union(*(distributions(module) for _, module, _ in PRODUCT))
    assert (BASE | OPTIONAL) - used == UNSEEN.keys()


def test_what_tests_import_is_declared():
    own = {path.stem for path in (ROOT / "tests").iterdir()} | {"tests"}
    wrong = [
        f"{path} imports {module}"
        for path, module, _ in others("tests", own)
        if not distributions(module) & (BASE | EXTRAS["test"])
        and f'importorskip("{module}' not in (ROOT / path).read_text()
    ]
    assert not wrong, "\n".join(wrong)


def test_resjax_is_installed_whole_and_alone():
    setup = PROJECT["tool"]["setuptools"]
    include = setup["packages"]["find"]["include"]
    folders = {path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    packages = {folder for folder in folders if (ROOT / folder / "__init__.py").exists()}
    installed = {folder for folder in packages if any(fnmatch.fnmatch(".".join(folder.parts), one) for one in include)}
    assert installed == {folder for folder in folders if folder.parts[0] == "resjax"}
    assert all((ROOT / "resjax" / name).exists() for name in setup["package-data"]["resjax"])


def test_every_dependency_of_the_tests_has_its_version_in_the_constraints():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = [re.fullmatch(r'([\w.-]+)==[\w.]+(?: ; python_version (?:<|>=) "3\.\d+")?', line) for line in lines]
    assert all(pinned), "a constraint is name==version, for some versions of Python or for all"
    assert (BASE | EXTRAS["test"]) <= {normal(match[1]) for match in pinned}


def test_importing_resjax_loads_nothing_but_the_lazy_loader():
    script = "import sys; before = {*sys.modules}; import resjax; print(*{*sys.modules} - before)"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {name.partition(".")[0] for name in shown.split()} - sys.stdlib_module_names == {"resjax", "lazy_loader"}
