"""Names and layouts of RETURNN's TensorFlow layers, as RETURNN's frontend has them.

RETURNN itself moved from network dictionaries to its frontend, and the public setups with it: what
a checkpoint of the old kind calls `conformer_block_01_ffmod_1_ff1/W` is
`encoder.layers.0.ffn1.linear_ff.weight` of the new one, with the same numbers, except for filters
and LSTMs.

Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf,
    _moh_att_2023_06_30_import.py and trafo_lm_kazuki_import.py; users/zeyer/returnn/convert/params.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

Convert = Callable[[Tensor], dict[str, Tensor]]
"""Returns tensors by what comes after their prefix."""

LEFT = r"(^|/)(optimize|global_step|epoch|beta\d_power)|/(N?[aA]dam|Momentum)"
"""Names of what is no part of a model: the optimizer's tensors, and counters."""

CELL = "ijfo"
"""Order of gates of TensorFlow's cells; of RETURNN's own LSTMs it is jifo."""


def as_frontend(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors by the names of RETURNN's frontend; those that are unknown stay as they are.

    Args:
        tensors: A checkpoint of either kind.
    """
    found: dict[str, Tensor] = {}
    dotted = DOTTED if "target_embed_raw.weight" in tensors else []
    for name, tensor in tensors.items():
        for pattern, theirs, convert in TABLE if "/" in name else dotted:
            match = re.fullmatch(pattern, name)
            if match is not None:
                prefix = match.expand(_counted(theirs, match))
                found |= {prefix + rest: part for rest, part in convert(tensor).items()}
                break
        else:
            found[name] = tensor
    return found


def of_tensorflow(names: Iterable[str]) -> bool:
    """Returns whether a checkpoint is one of TensorFlow layers, by the names of its tensors."""
    return any("/" in name for name in names)


def is_left(name: str) -> bool:
    """Returns whether a tensor is the optimizer's or a counter, and no part of a model."""
    return re.search(LEFT, name) is not None


def _counted(theirs: str, match: re.Match[str]) -> str:
    """Returns a template whose {block} is the number of a block, counted from 0."""
    if "{block}" not in theirs:
        return theirs
    return theirs.replace("{block}", str(int(match["block"]) - 1))


def same(tensor: Tensor) -> dict[str, Tensor]:
    """Returns the tensor."""
    return {"": tensor}


def filters(tensor: Tensor) -> dict[str, Tensor]:
    """Returns filters (O, I, ...) of (..., I, O)."""
    axes = tensor.dim()
    return {"": tensor.permute(axes - 1, axes - 2, *range(axes - 2))}


def moments(tensor: Tensor) -> dict[str, Tensor]:
    """Returns values (D,) of a batch norm's (1, 1, D)."""
    return {"": tensor.flatten()}


def cell_weights(tensor: Tensor) -> dict[str, Tensor]:
    """Returns weights of inputs (4 D, I) and state (4 D, D) of a cell's (I + D, 4 D)."""
    inputs = len(tensor) - tensor.shape[1] // 4
    both = _reordered(tensor.T)
    return {"ff_weight": both[:, :inputs], "rec_weight": both[:, inputs:]}


def cell_bias(tensor: Tensor) -> dict[str, Tensor]:
    """Returns the biases (4 D,) of a cell, which adds 1 to its forget gate."""
    parts = dict(zip(CELL, tensor.chunk(4), strict=True))
    parts["f"] = parts["f"] + 1.0
    return {"bias": torch.cat([parts[gate] for gate in "jifo"])}


def native(name: str) -> Convert:
    """Returns what brings a tensor of RETURNN's own LSTM to the order of PyTorch's gates."""

    def convert(tensor: Tensor) -> dict[str, Tensor]:
        turned = tensor.T if tensor.dim() == 2 else tensor
        parts = dict(zip("jifo", turned.chunk(4), strict=True))
        return {name: torch.cat([parts[gate] for gate in "ifjo"])}

    return convert


def _reordered(tensor: Tensor) -> Tensor:
    """Returns gates (4 D, ...) in the order of RETURNN's own LSTMs."""
    parts = dict(zip(CELL, tensor.chunk(4), strict=True))
    return torch.cat([parts[gate] for gate in "jifo"])


_BLOCK = r"conformer_block_(?P<block>\d+)_"
_LAYER = "encoder.layers.{block}."
_CONV = f"{_LAYER}conv_block."
_REC = "output/rec/"
_MINI = rf"(?:{_REC})?(?:mini_)?att"
_LM = rf"{_REC}dec_(\d+)_"

TABLE: list[tuple[str, str, Convert]] = [
    # Front end; a pattern, the name in the frontend, and what is done to the tensor
    (r"conv0/W(?:_.*)?", "encoder.input_layer.conv_layers.0.filter", filters),
    (r"conv0/bias", "encoder.input_layer.conv_layers.0.bias", same),
    (r"subsample_conv0/W", "encoder.input_layer.conv_layers.1.filter", filters),
    (r"subsample_conv0/bias", "encoder.input_layer.conv_layers.1.bias", same),
    (r"subsample_conv1/W", "encoder.input_layer.conv_layers.2.filter", filters),
    (r"subsample_conv1/bias", "encoder.input_layer.conv_layers.2.bias", same),
    (r"source_linear/W", "encoder.input_projection.weight", same),
    # Conformer
    (_BLOCK + r"ffmod_(\d)_ff1/W", _LAYER + r"ffn\2.linear_ff.weight", same),
    (_BLOCK + r"ffmod_(\d)_ff1/b", _LAYER + r"ffn\2.linear_ff.bias", same),
    (_BLOCK + r"ffmod_(\d)_ff2/W", _LAYER + r"ffn\2.linear_out.weight", same),
    (_BLOCK + r"ffmod_(\d)_ff2/b", _LAYER + r"ffn\2.linear_out.bias", same),
    (_BLOCK + r"ffmod_(\d)_ln/(scale|bias)", _LAYER + r"ffn\2_layer_norm.\3", same),
    (_BLOCK + r"self_att_ln/(scale|bias)", _LAYER + r"self_att_layer_norm.\2", same),
    (_BLOCK + r"self_att/QKV", _LAYER + "self_att.qkv.weight", same),
    (_BLOCK + r"self_att_linear/W", _LAYER + "self_att.proj.weight", same),
    (
        _BLOCK + r"self_att_ln_rel_pos_enc/encoding_matrix",
        _LAYER + "self_att.learned_pos_emb.pos_emb",
        same,
    ),
    (_BLOCK + r"conv_mod_ln/(scale|bias)", _LAYER + r"conv_layer_norm.\2", same),
    (_BLOCK + r"conv_mod_pointwise_conv(\d)/W", _CONV + r"positionwise_conv\2.weight", same),
    (_BLOCK + r"conv_mod_pointwise_conv(\d)/b", _CONV + r"positionwise_conv\2.bias", same),
    (_BLOCK + r"conv_mod_depthwise_conv2/W", _CONV + "depthwise_conv.filter", filters),
    (_BLOCK + r"conv_mod_depthwise_conv2/bias", _CONV + "depthwise_conv.bias", same),
    (_BLOCK + r"conv_mod_bn/batch_norm/(?:.*_)?(gamma|beta)", _CONV + r"norm.\2", moments),
    (_BLOCK + r"conv_mod_bn/batch_norm/(?:.*_)?mean", _CONV + "norm.running_mean", moments),
    (
        _BLOCK + r"conv_mod_bn/batch_norm/(?:.*_)?variance",
        _CONV + "norm.running_variance",
        moments,
    ),
    (_BLOCK + r"ln/(scale|bias)", _LAYER + r"final_layer_norm.\2", same),
    # Output layers
    (r"ctc/W", "ctc.weight", same),
    (r"ctc/b", "ctc.bias", same),
    (r"enc_ctx/W", "enc_ctx.weight", same),
    (r"enc_ctx/b", "enc_ctx.bias", same),
    (r"inv_fertility/W", "inv_fertility.weight", same),
    (_REC + r"target_embed0/W", "target_embed.weight", same),
    (_REC + r"(weight_feedback|s_transformed|energy)/W", r"\1.weight", same),
    (_REC + r"((?:prior_)?(?:readout_in|output_prob))/W", r"\1.weight", same),
    (_REC + r"((?:prior_)?(?:readout_in|output_prob))/b", r"\1.bias", same),
    (_REC + r"((?:prior_)?s)/rec/lstm_cell/kernel", r"\1.", cell_weights),
    (_REC + r"((?:prior_)?s)/rec/lstm_cell/bias", r"\1.", cell_bias),
    # Internal language model
    (_MINI + r"_lstm/rec/W", "mini_att_lstm.", native("ff_weight")),
    (_MINI + r"_lstm/rec/W_re", "mini_att_lstm.", native("rec_weight")),
    (_MINI + r"_lstm/rec/b", "mini_att_lstm.", native("bias")),
    (_MINI + r"/W", "mini_att.weight", same),
    (_MINI + r"/b", "mini_att.bias", same),
    # Language models: of a Transformer
    (_REC + r"target_embed_raw/W", "input_embedding.weight", same),
    (_REC + r"target_embed_lin/W", "input_embedding_proj.weight", same),
    (_LM + r"self_att_laynorm/(scale|bias)", r"layers.\1.self_att_layer_norm.\2", same),
    (_LM + r"self_att_att/QKV", r"layers.\1.self_att.qkv.weight", same),
    (_LM + r"self_att_lin/W", r"layers.\1.self_att.proj.weight", same),
    (_LM + r"ff_laynorm/(scale|bias)", r"layers.\1.ff_layer_norm.\2", same),
    (_LM + r"ff_conv1/W", r"layers.\1.ff.linear_ff.weight", same),
    (_LM + r"ff_conv1/b", r"layers.\1.ff.linear_ff.bias", same),
    (_LM + r"ff_conv2/W", r"layers.\1.ff.linear_out.weight", same),
    (_LM + r"ff_conv2/b", r"layers.\1.ff.linear_out.bias", same),
    (_REC + r"decoder/(scale|bias)", r"final_layer_norm.\1", same),
    (_REC + r"output/W", "logits.weight", same),
    (_REC + r"output/b", "logits.bias", same),
    # and of LSTMs
    (r"input/W", "input.weight", same),
    (r"input/b", "input_bias", same),
    (r"lstm(\d+)/rec/W", r"layers.\1.", native("ff_weight")),
    (r"lstm(\d+)/rec/W_re", r"layers.\1.", native("rec_weight")),
    (r"lstm(\d+)/rec/b", r"layers.\1.", native("bias")),
    (r"output/W", "output.weight", same),
    (r"output/b", "output.bias", same),
]

DOTTED: list[tuple[str, str, Convert]] = [
    (r"target_embed_raw\.weight", "input_embedding.weight", same),
    (r"target_embed_lin\.weight", "input_embedding_proj.weight", same),
    (r"layers\.(\d+)\.ff_conv1\.(\w+)", r"layers.\1.ff.linear_ff.\2", same),
    (r"layers\.(\d+)\.ff_conv2\.(\w+)", r"layers.\1.ff.linear_out.\2", same),
    (r"layers\.(\d+)\.self_att_lin\.weight", r"layers.\1.self_att.proj.weight", same),
    (r"decoder\.(scale|bias)", r"final_layer_norm.\1", same),
    (r"output\.(weight|bias)", r"logits.\1", same),
]
"""Of the Transformer language model that users/gaudino wrote before RETURNN had one."""
