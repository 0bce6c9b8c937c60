"""`asrkit list` and `asrkit explain` know every kind of part that a spec can hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.config.build import _Walk
from asrkit.config.kinds import kinds_below
from asrkit.config.listing import listing, overview
from asrkit.config.signatures import constructor_parameters
from asrkit.experiment.compare import ROOTS, interface_of
from asrkit.experiment.spec import load_spec

ROOT = Path(__file__).parents[2]
SPECS = sorted(p for p in ROOT.glob("recipes/*/conf/**/*.yaml") if "ablation" not in p.parts)


def asrkit(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_whatever_a_spec_of_a_recipe_holds_is_listed() -> None:
    """The walk that checks specs notes the class of every node, which must be among the kinds."""
    used = set()
    for path in SPECS:
        spec = load_spec(path)
        walk = _Walk(spec.source)
        walk.plan(interface_of(spec), spec.tree, "")
        used |= set(walk.targets.values())
    listed = {target for kind in kinds_below(ROOTS).values() for target in kind.parts.values()}
    assert len(used) > 50
    assert used <= listed


def test_every_kind_has_a_page_with_all_its_keys_and_they_are_explained() -> None:
    text = overview(listing(ROOTS))
    kinds = kinds_below(ROOTS)
    for name, kind in kinds.items():
        assert f"\n{name} " in f"\n{text}"
        parts = {part.name: part for part in listing(ROOTS, name).parts}
        assert parts.keys() == kind.parts.keys()
        for part, target in kind.parts.items():
            if not target.__module__.startswith("asrkit"):
                continue  # registered by other tests
            keys = parts[part].keys
            assert [key.name for key in keys] == list(constructor_parameters(target, kind.late))
            assert parts[part].what.endswith("."), f"{name} {part} has no summary line"
            for key in keys:
                assert key.what, f"{name} {part} does not document {key.name}"
                assert key.kind != "not annotated"
                assert f"\n    {key.name} ({key.kind}" in parts[part].text
    for name in ("experiment", "masks", "parameter_group", "phase", "import", "reload_best"):
        assert not kinds[name].is_choice
    for name in ("gradient_noise", "ramp", "strength", "chunking", "decode_spec", "table"):
        assert not kinds[name].is_choice


def test_the_listing_is_there_as_json() -> None:
    found = json.loads(asrkit("list", "gradient_noise", "--json").stdout)
    assert found["kinds"]["encoder"][:2] == ["blstm", "chunked"]
    assert [key["name"] for key in found["parts"][0]["keys"]] == ["scale", "decay"]
    assert found["parts"][0]["keys"][1]["default"] == 0.55


def test_kinds_are_found_by_the_names_of_their_classes_and_near_ones_are_told() -> None:
    for name in ("gradient_noise", "GradientNoise", "gradient noise", "gradient-noise"):
        assert asrkit("list", name).output.startswith("gradient_noise: ")
    done = asrkit("list", "optimiser")
    assert done.exit_code == 2
    assert "unknown kind 'optimiser'; did you mean 'optimizer'?" in " ".join(done.output.split())
    assert "head, which is meant where no type is given: " in asrkit("list", "scorer").output


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("text", ["kind: a tokenizer", "tokenizer: characters, listed, sentencepiece, words"]),
        ("model.augment.spec_augment.time", ["kind: masks", "    max_width (a whole number)"]),
        ("imports", ["kind: a list of imports", "import:", "    run (a path)"]),
        ("phases[3].epochs", ["phases[3].epochs is not set: phases is []", "kind: a whole number"]),
        ("decoding.joint.nbest", ["decoding.joint.nbest = null", "kind: a whole number or null"]),
    ],
)
def test_explain_goes_on_below_what_is_not_set(key: str, said: list[str]) -> None:
    done = asrkit("explain", str(ROOT / "recipes/librispeech/conf/base.yaml"), key)
    assert done.exit_code == 0, done.output
    for line in said:
        assert line in done.output


def test_explain_tells_keys_that_there_can_not_be() -> None:
    for key in ("seed.x", "phases[0].epoch", "nothing"):
        done = asrkit("explain", str(ROOT / "recipes/librispeech/conf/base.yaml"), key)
        assert done.exit_code == 2
        assert f"there is no key '{key}'" in done.output
