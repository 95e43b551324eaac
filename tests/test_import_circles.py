"""No two modules import each other, directly or on a way round: what is imported stands below what imports it."""

import ast
from collections import deque
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tinycnn", "covid", "benchmarks")


def modules(root=ROOT):
    """Every module of the packages: its dotted name → its file."""
    found = {}
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(tree, name, is_package, known):
    """The modules of `known` that a syntax tree imports, anywhere in it: ({at run time}, {for type checkers alone})."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set(), set()
    for node in ast.walk(tree):
        found[node in for_types].update(_targets(node, name, is_package, known) - {name})
    return found


def _targets(node, name, is_package, known):
    if isinstance(node, ast.Import):
        wanted = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        package = name.split(".") if is_package else name.split(".")[:-1]
        above = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        # `from package import x` needs the package's own file only for an x that is no module
        wanted = [f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names]
    else:
        return set()
    return {target for target in wanted if target in known}


def circles(graph):
    """The groups of nodes that reach each other: Tarjan's strongly connected components of more than one node."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def import_graph():
    """(module → modules it imports at run time, module → modules it imports for type checkers alone)."""
    known = modules()
    read = {
        name: imports(ast.parse(file.read_text(encoding="utf-8")), name, file.name == "__init__.py", known)
        for name, file in known.items()
    }
    return {name: now for name, (now, _) in read.items()}, {name: types for name, (_, types) in read.items()}


def only(graph, package):
    """The part of the graph within one package."""
    inside = {name for name in graph if name.split(".")[0] == package}
    return {name: graph[name] & inside for name in inside}


def described(graph, group):
    """The shortest way round from each module of the group, each named once."""
    ways = {}
    for start in group:
        came_from, queue = {start: ""}, deque([start])
        while queue:
            node = queue.popleft()
            if start in graph[node]:
                way = [node]
                while came_from[way[-1]]:
                    way.append(came_from[way[-1]])
                ways.setdefault(frozenset(way), " → ".join([*reversed(way), start]))
                break
            for other in sorted(graph[node] - came_from.keys()):
                came_from[other] = node
                queue.append(other)
    return "; ".join(ways.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_on_a_way_round(package):
    graph = only(import_graph()[0], package)
    assert graph, f"no module of {package} was found"
    found = [described(graph, group) for group in circles(graph)]
    assert not found, "import circles: " + "; ".join(found)


def test_no_folder_of_covid_imports_itself_on_a_way_round():
    """Data flows one way through the folders too; a module beside them counts as a folder of its own."""
    graph = only(import_graph()[0], "covid")

    def folder(name):
        return ".".join(name.split(".")[:2])

    folders = {folder(name): set() for name in graph}
    for name, others in graph.items():
        folders[folder(name)] |= {folder(other) for other in others} - {folder(name)}
    found = [described(folders, group) for group in circles(folders)]
    assert not found, "import circles: " + "; ".join(found)


def test_the_engine_knows_nothing_of_what_is_built_on_it():
    graph = import_graph()[0]
    for below, above in (("tinycnn", ("covid", "benchmarks")), ("covid", ("benchmarks",))):
        wrong = [f"{a} → {b}" for a in graph if a.split(".")[0] == below for b in graph[a] if b.split(".")[0] in above]
        assert not wrong


def test_imports_for_type_checkers_alone_are_few_and_listed():
    """Such an import hides an arrow from the tests above, so covid and benchmarks have none."""
    types = import_graph()[1]
    listed = {name: sorted(others) for name, others in types.items() if others}
    print("\n".join(f"{name} (types alone) → {', '.join(others)}" for name, others in listed.items()))
    assert not [name for name in listed if not name.startswith("tinycnn.")]


@pytest.mark.parametrize(
    "files",
    [
        {"a": "import tinycnn.b", "b": "from tinycnn import a"},
        {"a": "from . import b", "b": "def f():\n    from .a import x"},
        {"a": "from tinycnn.b import x", "b": "import tinycnn.c", "c": "class C:\n    from tinycnn import a"},
    ],
)
def test_a_planted_circle_is_found(files, tmp_path):
    (tmp_path / "tinycnn").mkdir()
    (tmp_path / "tinycnn/__init__.py").write_text("")
    for name, text in files.items():
        (tmp_path / f"tinycnn/{name}.py").write_text(text)
    known = modules(tmp_path)
    graph = {
        name: imports(ast.parse(file.read_text()), name, file.name == "__init__.py", known)[0]
        for name, file in known.items()
    }
    assert circles(graph) == [[f"tinycnn.{name}" for name in sorted(files)]]


def test_an_import_for_type_checkers_is_no_arrow():
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tinycnn.b import B\nimport tinycnn.c\n"
    known = {"tinycnn.a", "tinycnn.b", "tinycnn.c"}
    assert imports(ast.parse(text), "tinycnn.a", False, known) == ({"tinycnn.c"}, {"tinycnn.b"})
