"""Which search knows how the words of joined lists are pronounced."""

from __future__ import annotations

import json
from pathlib import Path

from asrkit.config.build import build
from asrkit.config.registry import import_all
from asrkit.experiment.hypothesis_times import origin
from asrkit.search.combination import CombinationSearch
from asrkit.search.graph import GraphSearch
from asrkit.search.search import Search

GRAPH = {
    "type": "graph",
    "frames": "states",
    "lattices": True,
    "scorers": {
        "states": {"type": "states", "weight": 0.1},
        "graph": {"type": "graph", "weight": 1.0, "graph": "graph/words.safetensors"},
    },
}


def joining(**lists: object) -> dict[str, object]:
    entry = {"type": "lists", "weight": 1.0, **lists}
    return {"type": "combination", "scorers": {"joined": entry}}


def made(node: object) -> Search:
    import_all()
    return build(Search, node, "search")


def note(run: Path, search: str, node: object) -> None:
    folder = run / "decode" / search / "dev"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(json.dumps({"search": node}))


def test_lists_that_are_joined_again_come_from_the_search_that_found_them(tmp_path: Path) -> None:
    note(tmp_path, "words", GRAPH)
    note(tmp_path, "rescored", joining(search="words"))
    found = origin(made(joining(search="rescored")), tmp_path, "dev")
    assert isinstance(found, GraphSearch)
    assert found.frames == "states"


def test_what_another_run_or_set_has_found_tells_nothing(tmp_path: Path) -> None:
    note(tmp_path, "words", GRAPH)
    for lists, name in (({"run": "other"}, "dev"), ({}, "test")):
        search = made(joining(search="words", **lists))
        assert origin(search, tmp_path, name) is search
        assert isinstance(search, CombinationSearch)


def test_any_of_the_lists_may_be_that_of_a_graph_and_lists_may_be_of_each_other(
    tmp_path: Path,
) -> None:
    note(tmp_path, "words", GRAPH)
    note(tmp_path, "greedy", {"type": "ctc_greedy"})
    names = ("again", "greedy", "words")
    scorers = {name: {"type": "lists", "weight": 1.0, "search": name} for name in names}
    node = {"type": "combination", "scorers": scorers}
    note(tmp_path, "again", node)
    assert isinstance(origin(made(node), tmp_path, "dev"), GraphSearch)
