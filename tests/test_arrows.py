"""Imports run one way: a room sees only rooms before it; and the library knows no flag. Read from the files."""

import ast
import graphlib
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parent.parent
HEART = {
    "appending", "assembly", "cost", "gating", "independence", "layers", "models", "network",
    "parts", "random_streams", "settling", "stack", "stochastic_depth", "theory", "transformers",
}  # fmt: skip
ROOMS = (
    {"system"},
    {"nn"},
    HEART,
    {"data"},
    {"training"},
    {"probes"},
    {"reporting"},
    {"lab"},
    {"prepare"},
    {""},
)  # "" is `resjax`
OUTSIDE = {  # what each may import, but for itself
    "resjax": set(),
    "experiments": {"resjax"},
    "benchmarks": {"resjax"},
    "launch": {"resjax", "experiments"},
}
COMMANDS = {"lab", "prepare", ""}  # of the rooms: all others are the library
NAMING_FLAGS = {"resjax.system.distributed", "resjax.system.sharding"}  # what they refuse is said on a command line
DRAWS = {"absl", "rich"}  # what a library should not bring along


def name_of(path: pathlib.Path) -> str:
    """The module that a file is."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for folder in OUTSIDE for path in sorted((ROOT / folder).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def lazy(name: str) -> dict[str, str]:
    """What a package loads when it is first used: {its name there: module}; its own modules aside."""
    attached = [
        node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call) and "attach" in ast.unparse(node.func)
    ]
    tables = [ast.literal_eval(word.value) for node in attached for word in node.keywords if word.arg == "submod_attrs"]
    return {one: f"{name}.{module}" for table in tables for module, names in table.items() for one in names}


def imports(name: str) -> Iterator[str]:
    """The modules that a file imports, wherever in it: of this repository the very file, of others as it says."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: write out the relative import of {node.module}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                known = lazy(node.module) if node.module in TREES else {}
                yield inner if inner in TREES else known.get(alias.name, node.module)


IMPORTS = {name: set(imports(name)) for name in TREES}


def room(name: str) -> str:
    """The room of a module of resjax."""
    return name.split(".")[1] if "." in name else ""


def level(name: str) -> int:
    """How high the room of a module of resjax is."""
    return next(at for at, rooms in enumerate(ROOMS) if room(name) in rooms)


def library() -> list[str]:
    """The modules of resjax that are no part of a command."""
    return [name for name in TREES if name.startswith("resjax.") and room(name) not in COMMANDS]


def test_every_file_of_the_library_is_in_a_room():
    known = set().union(*ROOMS)
    assert not [name for name in TREES if name.split(".")[0] == "resjax" and room(name) not in known]


def test_no_import_runs_back_up():
    def may(name, of):
        return room(of) == room(name) or level(of) < level(name) or {room(of), room(name)} <= HEART

    wrong = [
        f"{name} imports {of}"
        for name in TREES
        if name.startswith("resjax.")
        for of in sorted(IMPORTS[name])
        if of.split(".")[0] == "resjax" and not may(name, of)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_go_round_in_a_circle():
    graph = {name: IMPORTS[name] | set(lazy(name).values()) for name in TREES if name != "resjax"}  # which sees all
    graph = {name: {of for of in found if of in graph and of != name} for name, found in graph.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def test_experiments_benchmarks_and_launch_import_only_what_they_stand_on():
    wrong = [
        f"{name} imports {of}"
        for name in TREES
        for of in sorted(IMPORTS[name])
        if of.split(".")[0] in OUTSIDE.keys() - OUTSIDE[name.split(".")[0]] - {name.split(".")[0]}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_library_brings_along_no_command_line():
    wrong = [
        f"{name} imports {of}"
        for name in library()
        for of in sorted(IMPORTS[name])
        if of.split(".")[0] in DRAWS or of.startswith("resjax.lab")
    ]
    assert not wrong, "\n".join(wrong)


def commands(tree: ast.AST) -> set[ast.AST]:
    """The docstrings that show a command."""
    owners = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    shown = {owner: ast.get_docstring(owner) for owner in owners}
    return {owner.body[0].value for owner, text in shown.items() if text and "python -m" in text}


def flags(name: str) -> Iterator[str]:
    """Where a file's strings name a flag, but for docstrings that show a command."""
    tree = TREES[name]
    shown = commands(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in shown:
            if re.search(r"--[a-zA-Z]", node.value):
                yield f"{FILES[name].relative_to(ROOT)}:{node.lineno}: {node.value.strip()[:80]!r}"
        elif isinstance(node, ast.JoinedStr) and "--{" in ast.unparse(node):
            yield f"{FILES[name].relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}"


def test_no_string_of_the_library_names_a_flag():
    wrong = [where for name in library() if name not in NAMING_FLAGS for where in flags(name)]
    assert not wrong, "\n".join(wrong)


def test_what_may_name_flags_does():
    assert all(list(flags(name)) for name in NAMING_FLAGS)
