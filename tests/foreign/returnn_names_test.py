"""Names of TensorFlow layers, and older ones, give the same language models as newer names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asrkit.errors import UserError
from asrkit.experiment import import_model
from asrkit.experiment.import_model import describe, read_tensors
from asrkit.foreign.returnn.labels import labels
from asrkit.foreign.returnn.tensorflow import as_frontend, is_left
from asrkit.foreign.settings import Problems
from asrkit.run_folder import RunFolder
from asrkit.training.checkpoint_files import load_weights
from tests.foreign.stored_models import HERE, put_returnn

REC = "output/rec/"
LSTM = {
    r"input\.weight": "input/W",
    r"input_bias": "input/b",
    r"layers\.(\d)\.ff_weight": r"lstm\1/rec/W",
    r"layers\.(\d)\.rec_weight": r"lstm\1/rec/W_re",
    r"layers\.(\d)\.bias": r"lstm\1/rec/b",
    r"output\.weight": "output/W",
    r"output\.bias": "output/b",
}
TRANSFORMER = {
    r"input_embedding\.weight": f"{REC}target_embed_raw/W",
    r"input_embedding_proj\.weight": f"{REC}target_embed_lin/W",
    r"layers\.(\d)\.ff\.linear_ff\.weight": rf"{REC}dec_\1_ff_conv1/W",
    r"layers\.(\d)\.ff\.linear_ff\.bias": rf"{REC}dec_\1_ff_conv1/b",
    r"layers\.(\d)\.ff\.linear_out\.weight": rf"{REC}dec_\1_ff_conv2/W",
    r"layers\.(\d)\.ff\.linear_out\.bias": rf"{REC}dec_\1_ff_conv2/b",
    r"layers\.(\d)\.ff_layer_norm\.(\w+)": rf"{REC}dec_\1_ff_laynorm/\2",
    r"layers\.(\d)\.self_att\.qkv\.weight": rf"{REC}dec_\1_self_att_att/QKV",
    r"layers\.(\d)\.self_att\.proj\.weight": rf"{REC}dec_\1_self_att_lin/W",
    r"layers\.(\d)\.self_att_layer_norm\.(\w+)": rf"{REC}dec_\1_self_att_laynorm/\2",
    r"final_layer_norm\.(\w+)": rf"{REC}decoder/\1",
    r"logits\.weight": f"{REC}output/W",
    r"logits\.bias": f"{REC}output/b",
}
OLDER = {
    r"input_embedding\.weight": "target_embed_raw.weight",
    r"input_embedding_proj\.weight": "target_embed_lin.weight",
    r"layers\.(\d)\.ff\.linear_ff\.(\w+)": r"layers.\1.ff_conv1.\2",
    r"layers\.(\d)\.ff\.linear_out\.(\w+)": r"layers.\1.ff_conv2.\2",
    r"layers\.(\d)\.self_att\.proj\.weight": r"layers.\1.self_att_lin.weight",
    r"final_layer_norm\.(\w+)": r"decoder.\1",
    r"logits\.(\w+)": r"output.\1",
}
MINI = {
    r"mini_att_lstm\.ff_weight": f"{REC}mini_att_lstm/rec/W",
    r"mini_att_lstm\.rec_weight": f"{REC}mini_att_lstm/rec/W_re",
    r"mini_att_lstm\.bias": f"{REC}mini_att_lstm/rec/b",
    r"mini_att\.weight": f"{REC}mini_att/W",
    r"mini_att\.bias": f"{REC}mini_att/b",
}


def named(name: str, table: dict[str, str]) -> str:
    """Returns the other name; the same one if the table has none."""
    for pattern, other in table.items():
        found = re.fullmatch(pattern, name)
        if found is not None:
            return found.expand(other)
    return name


def native(name: str, tensor: Tensor) -> Tensor:
    """Returns a tensor as RETURNN's own LSTM has it: inputs first, gates jifo."""
    if "/rec/" not in name or not re.search("/(W|W_re|b)$", name) or "lstm" not in name:
        return tensor
    i, f, j, o = tensor.chunk(4)
    reordered = torch.cat([j, i, f, o])
    return reordered.T if tensor.dim() == 2 else reordered


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("lstm_lm", LSTM),
        ("transformer_lm", TRANSFORMER),
        ("transformer_lm", OLDER),
        ("mini_lstm", MINI),
    ],
)
def test_tensors_get_their_names_and_layouts_back(
    kind: str, table: dict[str, str], tmp_path: Path
) -> None:
    tensors = read_tensors(put_returnn(tmp_path, kind))
    given = {named(name, table): tensor for name, tensor in tensors.items()}
    assert given.keys() != tensors.keys()
    found = as_frontend({name: native(name, tensor) for name, tensor in given.items()})
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(found[name], tensor)


def test_what_is_no_part_of_a_model_is_left() -> None:
    for name in ("global_step", "optimize/beta1_power", "conv0/W/Adam_1", "output/b/Momentum"):
        assert is_left(name), name
    for name in ("conv0/W", "output/rec/s/rec/lstm_cell/kernel", "adamant/W"):
        assert not is_left(name), name


def test_one_model_of_several_is_taken_by_its_prefix(tmp_path: Path) -> None:
    checkpoint = put_returnn(tmp_path, "lstm_lm")
    tensors = {f"language_model.{n}": t for n, t in read_tensors(checkpoint).items()}
    tensors["model_aed.enc_ctx.weight"] = torch.zeros(2, 2)
    save_file(tensors, tmp_path / "all.safetensors")
    config = (tmp_path / "config.yaml").read_text()
    given = read_tensors(tmp_path / "all.safetensors")
    (tmp_path / "config.yaml").write_text(config + "prefix: language_model.\n")
    described = describe("returnn", tmp_path / "config.yaml", None, given)
    assert described.tree["model"]["decoder"]["type"] == "stacked_lstm"
    assert "1 tensors outside of language_model. are left out" in described.notes
    (tmp_path / "config.yaml").write_text(config + "prefix: lm.\n")
    with pytest.raises(UserError, match=r"no tensor's name begins with 'lm\.'"):
        describe("returnn", tmp_path / "config.yaml", None, given)


def test_labels_are_those_of_a_sentencepiece_model_or_of_a_list(tmp_path: Path) -> None:
    place, problems = tmp_path / "config.yaml", Problems("config.yaml")
    shutil.copy(HERE / "espnet-conformer" / "bpe.model", tmp_path)
    config = {"labels": {"model_file": "bpe.model", "eos_label": "</s>", "unknown_label": "<unk>"}}
    found = labels(config, place, None, problems)
    assert found.tree["units"] == "sentencepiece"
    assert found.tree["unknown"] == "<unk>"
    assert found.rows.order == (0, 1, *range(3, 26), 2)
    assert "</s>" not in found.units.symbols
    (tmp_path / "words").write_text("one\ntwo\n<eos>\n")
    found = labels({"labels": {"vocab_file": "words", "eos_label": 2}}, place, None, problems)
    assert (found.units.symbols, found.tree["units"]) == (["one", "two"], "words")
    assert not problems.found
    (tmp_path / "words").write_text("{'one': 0, 'two': 2}\n")
    labels({"labels": {"vocab_file": "words", "eos_label": "three"}}, place, None, problems)
    assert "expected the numbers from 0 to 1" in problems.found[0]
    assert "got 'three'" in problems.found[1]


def test_features_are_normalised_with_the_numbers_of_files(tmp_path: Path) -> None:
    checkpoint = put_returnn(tmp_path)
    (tmp_path / "mean").write_text("\n".join(map(str, range(12))))
    (tmp_path / "stdev").write_text(" ".join(["2.5"] * 12))
    config = (tmp_path / "config.yaml").read_text()
    files = "{num_mels: 12, mean_file: mean, stdev_file: stdev, "
    (tmp_path / "config.yaml").write_text(config.replace("{num_mels: 12, ", files))
    run = import_model("returnn", checkpoint, tmp_path / "run").run
    weights = load_weights(RunFolder(run).average)
    assert weights["features.normalization.mean"].tolist() == list(range(12))
    assert weights["features.normalization.deviation"].tolist() == [2.5] * 12


def test_a_damaged_file_of_tensors_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"model\.safetensors can't be read"):
        read_tensors(tmp_path / "model.safetensors")
