"""The tensors of RETURNN's attention model of LibriSpeech by name, as the public setup has them.

Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf,
    conformer_import_moh_att_2023_06_30.py.
"""

from __future__ import annotations

DIM, HIDDEN, HEADS, LABELS, EMBEDDING, STATE = 512, 2048, 8, 10025, 640, 1024
CHANNELS = [1, 32, 64, 64]

Shapes = dict[str, tuple[int, ...]]


def shapes() -> Shapes:
    """Returns the shape of each tensor."""
    found: Shapes = {}
    for layer in range(3):
        name, (inner, outer) = f"encoder.input_layer.conv_layers.{layer}", CHANNELS[layer:][:2]
        found |= {f"{name}.filter": (outer, inner, 3, 3), f"{name}.bias": (outer,)}
    found["encoder.input_projection.weight"] = (64 * 40, DIM)
    for layer in range(12):
        found |= {f"encoder.layers.{layer}.{name}": size for name, size in block().items()}
    for layer in (4, 8):
        found |= linear(f"enc_aux_logits_{layer}", DIM, LABELS + 1)
    return found | decoder()


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    """Returns the shapes of a linear layer."""
    found: Shapes = {f"{name}.weight": (inputs, outputs)}
    return found | ({f"{name}.bias": (outputs,)} if bias else {})


def norm(name: str) -> Shapes:
    """Returns the shapes of a layer norm."""
    return {f"{name}.scale": (DIM,), f"{name}.bias": (DIM,)}


def block() -> Shapes:
    """Returns the shapes of a Conformer layer."""
    found: Shapes = {}
    for name in ("ffn1", "ffn2"):
        found |= norm(f"{name}_layer_norm") | linear(f"{name}.linear_ff", DIM, HIDDEN)
        found |= linear(f"{name}.linear_out", HIDDEN, DIM)
    found |= norm("self_att_layer_norm") | linear("self_att.qkv", DIM, 3 * DIM, False)
    found |= linear("self_att.proj", DIM, DIM, False)
    found["self_att.learned_pos_emb.pos_emb"] = (33, DIM // HEADS)
    found |= norm("conv_layer_norm") | linear("conv_block.positionwise_conv1", DIM, 2 * DIM)
    found |= linear("conv_block.positionwise_conv2", DIM, DIM)
    found |= {
        "conv_block.depthwise_conv.filter": (DIM, 1, 32),
        "conv_block.depthwise_conv.bias": (DIM,),
    }
    for name in ("gamma", "beta", "running_mean", "running_variance"):
        found[f"conv_block.norm.{name}"] = (DIM,)
    return found | norm("final_layer_norm")


def decoder() -> Shapes:
    """Returns the shapes of the LSTM, its attention and readout."""
    read = EMBEDDING + DIM
    found: Shapes = {
        "target_embed.weight": (LABELS, EMBEDDING),
        "s.ff_weight": (4 * STATE, read),
        "s.rec_weight": (4 * STATE, STATE),
        "s.bias": (4 * STATE,),
    }
    found |= linear("enc_ctx", DIM, 1024) | linear("inv_fertility", DIM, 1, False)
    found |= linear("weight_feedback", 1, 1024, False) | linear("energy", 1024, 1, False)
    found |= linear("s_transformed", STATE, 1024, False)
    found |= linear("readout_in", STATE + read, 1024)
    return found | linear("output_prob", 512, LABELS)
