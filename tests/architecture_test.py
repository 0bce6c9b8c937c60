"""What the code promises of itself: layers, sizes, documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkit.config.listing import argument_docs, first_line
from asrkit.config.registry import all_registries, import_all
from asrkit.config.signatures import constructor_parameters

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "asrkit").rglob("*.py"))
# A module imports only from its own layer and those before it; the longest prefix counts.
LAYERS = [
    (
        "asrkit",
        "asrkit.acceleration",
        "asrkit.allocator",
        "asrkit.compiled",
        "asrkit.cpu",
        "asrkit.bounds",
        "asrkit.errors",
        "asrkit.escapes",
        "asrkit.files",
        "asrkit.names",
        "asrkit.output",
        "asrkit.plotting",
        "asrkit.utf8",
        "asrkit.tables",
        "asrkit.records",
        "asrkit.run_files",
        "asrkit.terminal",
        "asrkit.typed_values",
        "asrkit.owners",
        "asrkit.queues",
        "asrkit.signals",
        "asrkit.config",
        "asrkit.data.batch",
        "asrkit.data.batch_info",
    ),
    ("asrkit.text", "asrkit.nn"),
    ("asrkit.lattice",),
    ("asrkit.losses",),
    ("asrkit.scorers.interfaces", "asrkit.data", "asrkit.lm"),
    ("asrkit.corpora", "asrkit.hmm", "asrkit.wfst"),
    ("asrkit.scorers",),
    ("asrkit.search",),
    ("asrkit.decoding",),
    ("asrkit.models.interfaces",),
    ("asrkit.models",),
    ("asrkit.training", "asrkit.scoring", "asrkit.foreign"),
    ("asrkit.reports",),
    ("asrkit.experiment", "asrkit.recogniser"),
    ("asrkit.reports.parents", "asrkit.reports.results"),
    ("asrkit.cli", "asrkit.__main__"),
]
# Heads give prefix scorers; searches know heads only by protocol.
SEARCHES = ("asrkit.scorers", "asrkit.search", "asrkit.decoding")
MODELS_MAY_IMPORT = {"asrkit.scorers.ctc_prefix", "asrkit.scorers.interfaces"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(module: str) -> int:
    matches = [
        (len(prefix), number)
        for number, layer in enumerate(LAYERS)
        for prefix in layer
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(matches)[1]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("asrkit"):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("asrkit"))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_modules_import_only_from_layers_below(path: Path) -> None:
    module = module_of(path)
    if module == "asrkit":
        return  # the door opens to the highest layer, once it is asked
    above = [name for name in imports(path) if layer_of(name) > layer_of(module)]
    assert not above, f"{module} imports {above} from a layer above its own"
    if module.startswith("asrkit.models"):
        searches = {n for n in imports(path) if n.startswith(SEARCHES)}
        assert searches <= MODELS_MAY_IMPORT
    if module.startswith(SEARCHES):
        assert not any(name.startswith("asrkit.models") for name in imports(path))


def imported_by(path: Path, modules: set[str]) -> set[str]:
    """Returns the modules that one imports, inside functions too, but not those for types alone."""
    found = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules or {node.module}
    return (found & modules) - {module_of(path)}


def test_no_modules_import_each_other_in_a_circle_not_even_inside_functions() -> None:
    modules = {module_of(path) for path in FILES}
    graph = {module_of(path): imported_by(path, modules) for path in FILES}
    assert "asrkit.recogniser" in graph["asrkit"], "imports inside functions count"
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, f"a circle of imports goes through {sorted(graph)}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_only_the_module_of_pictures_imports_matplotlib(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [n for n in tree.body if not isinstance(n, ast.If)]  # TYPE_CHECKING: never imported
    found = {
        name
        for node in (inner for outer in nodes for inner in ast.walk(outer))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", "") or "", *(alias.name for alias in node.names)]
        if name.startswith("matplotlib") or name == "pyplot"
    }
    assert not found or module_of(path) == "asrkit.plotting"
    assert not any("pyplot" in name for name in found)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_and_functions_are_short_and_explained(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{path}: {node.name} has {lines} lines"


def test_every_name_is_documented_with_all_its_keys() -> None:
    import_all()
    for registry in all_registries():
        if not registry.interface.__module__.startswith("asrkit"):
            continue  # registered by other tests
        assert registry.entries, registry.kind
        for name, target in registry.entries.items():
            assert first_line(target).endswith("."), f"{registry.kind} {name} has no summary line"
            keys = set(constructor_parameters(target, registry.late))
            missing = keys - set(argument_docs(target))
            assert not missing, f"{registry.kind} {name} does not document {missing}"


def test_verbs_speak_through_the_terminal_which_shows_control_characters_as_escapes() -> None:
    for path in (ROOT / "asrkit" / "cli").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import rich" not in text, path
        assert "from rich" not in text, path
        assert "echo(" not in text, path
