"""Imports point one way: the rules of import-linter in pyproject.toml, read from the sources."""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import chain

import pytest
from sources import PYPROJECT, modules

CONTRACTS = {contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
LAYERS = CONTRACTS["imports point one way"]["layers"]
FORBIDDEN = [contract for contract in CONTRACTS.values() if contract["type"] == "forbidden"]

# Layer of each module right below streamrec, the lowest first; siblings share a number.
LEVEL = {name.strip(): level for level, layer in enumerate(reversed(LAYERS)) for name in layer.split("|")}


@cache
def imports(module: str) -> frozenset[str]:
    """Modules that `module` imports, anywhere in the file."""
    nodes = ast.walk(ast.parse(modules()[module].read_text()))
    return frozenset(chain.from_iterable(map(_targets, nodes)))


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for name in node.names:
            whole = f"{node.module}.{name.name}"
            yield whole if whole in modules() else str(node.module)


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "streamrec" and len(parts) > 1 else None


def test_every_module_has_a_layer_and_every_layer_a_module():
    assert {layer_of(module) for module in modules()} - {None} == set(LEVEL)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module):
    mine = layer_of(module)
    for target in sorted(imports(module)):
        theirs = layer_of(target)
        if theirs is None or theirs == mine:
            continue
        assert mine is not None, f"{module} imports {target}, but the root of the package imports nothing"
        assert LEVEL[theirs] < LEVEL[mine], f"{module} ({mine}) imports {target} ({theirs})"


@pytest.mark.parametrize("contract", FORBIDDEN, ids=lambda contract: contract["name"])
def test_forbidden_modules_are_out_of_reach(contract):
    for source in contract["source_modules"]:
        inside = [module for module in modules() if module == source or module.startswith(f"{source}.")]
        assert inside, f"{contract['name']!r} names {source}, which is no module"
        for module in inside:
            path = _path_to(module, set(contract["forbidden_modules"]))
            assert path is None, f"{contract['name']}: {' -> '.join(path or ())}"


def _path_to(start: str, forbidden: set[str]) -> list[str] | None:
    """Shortest chain of imports from a module to a forbidden package."""
    paths = {start: [start]}
    queue = [start]
    for module in queue:
        for target in sorted(imports(module)):
            if target.split(".")[0] in forbidden:
                return [*paths[module], target]
            if target in modules() and target not in paths:
                paths[target] = [*paths[module], target]
                queue.append(target)
    return None


@pytest.mark.parametrize("folder", ["agents", "models"])
def test_top_level_folders_are_imported_through_the_package(folder):
    for module in modules():
        assert not any(target.split(".")[0] == folder for target in imports(module)), module
