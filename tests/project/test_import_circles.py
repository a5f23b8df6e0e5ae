"""No module imports itself by way of others, at import time or for its types alone: import-linter's layers hold the
folders (`make check`), this holds the modules inside of them."""

from collections.abc import Iterator, Mapping, Set

import grimp
import pytest

PACKAGES = ("offbus", "offbus_steps", "offbus_agent", "offbus_sandbox")


def circles(imports: Mapping[str, Set[str]]) -> Iterator[list[str]]:
    """One way round for each module that can reach itself; modules that import only downwards give none."""
    remaining = {module: set(wanted) & imports.keys() for module, wanted in imports.items()}
    while leaves := [module for module, wanted in remaining.items() if not wanted]:
        for leaf in leaves:
            del remaining[leaf]
        for wanted in remaining.values():
            wanted.difference_update(leaves)
    while remaining:
        path = [min(remaining)]
        while (following := min(remaining[path[-1]])) not in path:
            path.append(following)
        yield path[path.index(following) :]
        for module in path:
            remaining.pop(module, None)
        remaining = {module: wanted & remaining.keys() for module, wanted in remaining.items()}
        remaining = {module: wanted for module, wanted in remaining.items() if wanted}


@pytest.mark.parametrize(
    ("imports", "found"),
    [
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
    ],
    ids=["downwards", "below another", "two"],
)
def test_a_circle_is_found(imports: dict[str, set[str]], found: list[list[str]]) -> None:
    assert list(circles(imports)) == found


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 400, "the modules are seen at all"
    assert list(circles(imports)) == []
