"""The network dictionary of the public attention model in RETURNN's TensorFlow layers, small.

Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf,
    _moh_att_2023_04_24_BxqgICRSGkgb_net_dict.py.
"""

from __future__ import annotations

from typing import Any

from tools.parity import returnn_sizes as sizes

Layers = dict[str, dict[str, Any]]


def network() -> Layers:
    """Returns the layers by name."""
    layers = front()
    below = "source_linear"
    for number in range(1, sizes.LAYERS + 1):
        layers |= block(f"conformer_block_{number:02}", below)
        below = f"conformer_block_{number:02}"
    return layers | {
        "encoder": {"class": "copy", "from": below},
        "ctc": {"class": "softmax", "from": "encoder", "target": "labels", "loss": "ctc"},
        "enc_ctx": linear("encoder", sizes.KEY, True),
        "enc_value": {
            "class": "split_dims",
            "axis": "F",
            "dims": (1, sizes.DIM),
            "from": "encoder",
        },
        "inv_fertility": linear("encoder", 1) | {"activation": "sigmoid"},
        "output": {
            "class": "rec",
            "from": [],
            "unit": step(),
            "target": "labels",
            "max_seq_len": "max_len_from('base:encoder')",
        },
    }


def linear(source: Any, size: int, bias: bool = False) -> dict[str, Any]:
    """Returns a linear layer."""
    return {
        "class": "linear",
        "activation": None,
        "with_bias": bias,
        "from": source,
        "n_out": size,
    }


def front() -> Layers:
    """Returns features and convolutions."""
    first, second, third = sizes.CHANNELS
    convolution = {
        "class": "conv",
        "padding": "same",
        "filter_size": (3, 3),
        "activation": "relu",
        "with_bias": True,
    }
    return {
        "stft": {
            "class": "stft",
            "frame_shift": 160,
            "frame_size": 400,
            "fft_size": 512,
            "from": "data:audio",
        },
        "abs": {"class": "activation", "from": "stft", "activation": "abs"},
        "power": {"class": "eval", "from": "abs", "eval": "source(0) ** 2"},
        "mel": {
            "class": "mel_filterbank",
            "from": "power",
            "fft_size": 512,
            "nr_of_filters": sizes.MELS,
            "n_out": sizes.MELS,
        },
        "log": {
            "class": "activation",
            "from": "mel",
            "activation": "safe_log",
            "opts": {"eps": 1e-10},
        },
        "source": {"class": "eval", "from": "log", "eval": "source(0) / 2.3026"},
        "source0": {"class": "split_dims", "axis": "F", "dims": (-1, 1), "from": "source"},
        "conv0": convolution | {"from": "source0", "n_out": first},
        "conv0p": {
            "class": "pool",
            "from": "conv0",
            "pool_size": (1, 2),
            "mode": "max",
            "padding": "same",
        },
        "subsample_conv0": convolution | {"from": "conv0p", "n_out": second, "strides": (3, 1)},
        "subsample_conv1": convolution
        | {"from": "subsample_conv0", "n_out": third, "strides": (2, 1)},
        "conv_merged": {"class": "merge_dims", "from": "subsample_conv1", "axes": "static"},
        "source_linear": linear("conv_merged", sizes.DIM),
    }


def added(below: str, above: str) -> dict[str, Any]:
    """Returns a layer that adds two."""
    return {"class": "combine", "kind": "add", "from": [above, below]}


def norm(source: str) -> dict[str, Any]:
    """Returns a layer norm."""
    return {"class": "layer_norm", "from": source}


def feed_forward(name: str, below: str) -> Layers:
    """Returns half a feed-forward sublayer, with the square of a ReLU."""
    return {
        f"{name}_ln": norm(below),
        f"{name}_ff1": linear(f"{name}_ln", sizes.HIDDEN, True),
        f"{name}_relu": {"class": "activation", "activation": "relu", "from": f"{name}_ff1"},
        f"{name}_square": {"class": "eval", "eval": "source(0) ** 2", "from": f"{name}_relu"},
        f"{name}_ff2": linear(f"{name}_square", sizes.DIM, True),
        f"{name}_half": {"class": "eval", "eval": "0.5 * source(0)", "from": f"{name}_ff2"},
        f"{name}_res": added(below, f"{name}_half"),
    }


def block(name: str, below: str) -> Layers:
    """Returns a Conformer block."""
    self_att, conv = f"{name}_self_att", f"{name}_conv_mod"
    layers = feed_forward(f"{name}_ffmod_1", below) | {
        f"{self_att}_ln": norm(f"{name}_ffmod_1_res"),
        f"{self_att}_ln_rel_pos_enc": {
            "class": "relative_positional_encoding",
            "from": f"{self_att}_ln",
            "n_out": sizes.DIM // sizes.HEADS,
            "clipping": sizes.CLIP,
        },
        self_att: {
            "class": "self_attention",
            "from": f"{self_att}_ln",
            "n_out": sizes.DIM,
            "num_heads": sizes.HEADS,
            "total_key_dim": sizes.DIM,
            "key_shift": f"{self_att}_ln_rel_pos_enc",
        },
        f"{self_att}_linear": linear(self_att, sizes.DIM),
        f"{self_att}_res": added(f"{name}_ffmod_1_res", f"{self_att}_linear"),
        f"{conv}_ln": norm(f"{self_att}_res"),
        f"{conv}_pointwise_conv1": linear(f"{conv}_ln", 2 * sizes.DIM, True),
        f"{conv}_glu": {
            "class": "gating",
            "from": f"{conv}_pointwise_conv1",
            "activation": "identity",
        },
        f"{conv}_depthwise_conv2": {
            "class": "conv",
            "from": f"{conv}_glu",
            "padding": "same",
            "filter_size": (sizes.KERNEL,),
            "n_out": sizes.DIM,
            "activation": None,
            "with_bias": True,
            "groups": sizes.DIM,
        },
        f"{conv}_bn": {
            "class": "batch_norm",
            "from": f"{conv}_depthwise_conv2",
            "momentum": 0.1,
            "epsilon": 0.001,
            "update_sample_only_in_training": True,
            "delay_sample_update": True,
        },
        f"{conv}_swish": {"class": "activation", "activation": "swish", "from": f"{conv}_bn"},
        f"{conv}_pointwise_conv2": linear(f"{conv}_swish", sizes.DIM, True),
        f"{conv}_res": added(f"{self_att}_res", f"{conv}_pointwise_conv2"),
    }
    layers |= feed_forward(f"{name}_ffmod_2", f"{conv}_res")
    return layers | {
        f"{name}_ln": norm(f"{name}_ffmod_2_res"),
        name: {"class": "copy", "from": f"{name}_ln"},
    }


def step() -> Layers:
    """Returns the layers of the decoder."""
    return {
        "target_embed0": linear("output", sizes.EMBEDDING) | {"initial_output": 0},
        "target_embed": {"class": "copy", "from": "target_embed0", "initial_output": 0},
        "s_transformed": linear("s", sizes.KEY),
        "accum_att_weights": {
            "class": "eval",
            "eval": "source(0) + source(1) * source(2) * 0.5",
            "from": ["prev:accum_att_weights", "att_weights", "base:inv_fertility"],
            "out_type": {"dim": 1, "shape": (None, 1)},
        },
        "weight_feedback": linear("prev:accum_att_weights", sizes.KEY),
        "energy_in": {
            "class": "combine",
            "kind": "add",
            "from": ["base:enc_ctx", "weight_feedback", "s_transformed"],
            "n_out": sizes.KEY,
        },
        "energy_tanh": {"class": "activation", "activation": "tanh", "from": "energy_in"},
        "energy": linear("energy_tanh", 1),
        "att_weights": {"class": "softmax_over_spatial", "from": "energy"},
        "att0": {"class": "generic_attention", "weights": "att_weights", "base": "base:enc_value"},
        "att": {"class": "merge_dims", "from": "att0", "axes": "except_batch"},
        "s": {
            "class": "rnn_cell",
            "unit": "zoneoutlstm",
            "n_out": sizes.STATE,
            "from": ["prev:target_embed", "prev:att"],
            "unit_opts": {"zoneout_factor_cell": 0.15, "zoneout_factor_output": 0.05},
        },
        "readout_in": linear(["s", "prev:target_embed", "att"], sizes.READOUT, True),
        "readout": {
            "class": "reduce_out",
            "from": "readout_in",
            "num_pieces": 2,
            "mode": "max",
        },
        "output_prob": {
            "class": "linear",
            "from": "readout",
            "activation": None,
            "target": "labels",
            "loss": "ce",
            "loss_opts": {"input_type": "logits", "label_smoothing": sizes.SMOOTHING},
            "is_output_layer": True,
        },
        "output": {
            "class": "choice",
            "target": "labels",
            "beam_size": 4,
            "from": "output_prob",
            "input_type": "logits",
            "initial_output": 0,
        },
        "end": {"class": "compare", "from": "output", "value": 0},
    }
