"""What a stranger reads with `help`: everything public says what comes back, and has types on every argument."""

import ast
import inspect
import pathlib

import pytest

import resjax as rj

ROOT = pathlib.Path(rj.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "lab" not in path.parts)


def public(tree, prefix=""):
    """The public functions, classes and methods of a module's tree, by their name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{node.name}.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_has_a_docstring_and_types(path):
    for name, node in public(ast.parse(path.read_text())):
        assert ast.get_docstring(node), f"{name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not untyped, f"{name} has no types on {untyped}"


@pytest.mark.parametrize("package", (rj, rj.nn, rj.data, rj.probes, rj.theory), ids=lambda package: package.__name__)
def test_every_name_of_the_public_api_is_there(package):
    for name in dir(package):
        found = getattr(package, name)
        assert found.__doc__, name


@pytest.mark.parametrize("package", (rj, rj.nn, rj.data, rj.probes, rj.theory), ids=lambda package: package.__name__)
def test_no_module_takes_the_place_of_what_is_public(package):
    modules = {path.stem for path in pathlib.Path(package.__file__).parent.iterdir()}
    assert [name for name in package.__all__ if name in modules and not inspect.ismodule(getattr(package, name))] == []
