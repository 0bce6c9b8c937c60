"""The output layers of RETURNN's public attention models: CTC, and an LSTM with MLP attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrkit.foreign.layouts import Chained, Gates, Transposed
from asrkit.foreign.part import Part
from asrkit.foreign.returnn.tensors import Tensors, linear
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings
from asrkit.foreign.transforms import Rows

CTC = {"eos": True, "weight": 1.0, "layer": None}
"""Whether transcripts end in a label of their own, the loss's weight, and the layer of `ctc`."""
DECODER = {
    "weight": 1.0,
    "label_smoothing": 0.1,
    "dropout": 0.3,
    "zoneout_factor_cell": 0.15,
    "zoneout_factor_output": 0.05,
    "use_zoneout_output": False,
    "parts_order": "jifo",
    "forget_bias": 0.0,
}
"""What tensors don't tell of the decoder, with what the public setups of LibriSpeech have."""
AUXILIARY = r"enc_aux_logits_(\d+)\.weight"


def ctc_heads(
    config: Mapping[str, Any], tensors: Tensors, labels: list[int], end: int, problems: Problems
) -> dict[str, Part]:
    """Returns CTC heads by name.

    Args:
        config: The configuration.
        tensors: The checkpoint.
        labels: Their number of each label here.
        end: Their number of end of sentence.
        problems: Where problems go.
    """
    given = Settings("ctc", config.get("ctc"), CTC, problems)
    blank, last = len(labels) + 1, len(tensors.numbers(r"encoder\.layers\.(\d+)\..*"))
    eos = bool(given["eos"])
    rows = Rows((*labels, end, blank) if eos else (*labels, blank, end))
    places = {f"ctc_{n}": (f"enc_aux_logits_{n}", n) for n in tensors.numbers(AUXILIARY)}
    if "ctc.weight" in tensors:
        layer = last if given["layer"] is None else given.number("layer")
        places["ctc"] = ("ctc", layer)
    found = {}
    for name, (theirs, layer) in places.items():
        tree = {"type": "ctc", "weight": given.share("weight"), "dropout": 0.0}
        tree |= {"tap": None if layer == last else layer}
        tree |= {"eos": True} if eos else {"unused_outputs": 1}
        found[name] = Part(tree, outputs(f"heads.{name}.output", theirs, rows))
    return found


def outputs(ours: str, theirs: str, rows: Rows) -> list[Rule]:
    """Returns the rule of an output layer, whose labels have another order there."""
    return [rename(ours, theirs, transform=Chained((Transposed(), rows)))]


def attention(
    config: Mapping[str, Any], tensors: Tensors, rows: Rows, problems: Problems
) -> Part | None:
    """Returns the attention head, if there is one.

    Args:
        config: The configuration.
        tensors: The checkpoint.
        rows: Their number of each label here, end of sentence last.
        problems: Where problems go.
    """
    given = Settings("decoder", config.get("decoder"), DECODER, problems)
    if "enc_ctx.weight" not in tensors:
        if config.get("decoder") is not None:
            problems.add("decoder: there is none in the checkpoint, expected no such settings")
        return None
    if tensors.shape("energy.weight", 2)[1] != 1:
        problems.add(f"energy.weight: expected 1 head, got {tensors.shape('energy.weight', 2)[1]}")
    gates = gate_order(given, problems)
    decoder = {
        "type": "lstm",
        "embedding_dim": tensors.shape("target_embed.weight", 2)[1],
        "hidden_dim": tensors.shape("s.rec_weight", 2)[1],
        "attention_dim": tensors.shape("enc_ctx.weight", 2)[1],
        "readout_dim": tensors.shape("readout_in.weight", 2)[1],
        "dropout": given.share("dropout"),
        "zoneout_cell": given.share("zoneout_factor_cell"),
        "zoneout_output": given.share("zoneout_factor_output"),
        "lstm": {"biases": "one", "read": "zoned" if given["use_zoneout_output"] else "plain"},
        "first_input": "zeros",
    }
    tree = {
        "type": "attention",
        "weight": given.share("weight"),
        "label_smoothing": given.share("label_smoothing"),
        "decoder": decoder,
    }
    here = "heads.attention.decoder"
    return Part(tree, [*listening(here), *speaking(here, gates, rows, "", "target_embed")])


def gate_order(given: Settings, problems: Problems) -> Gates:
    """Returns what is done to the weights and biases of the LSTM."""
    order = str(given["parts_order"]).replace("c", "g").replace("j", "g")
    if sorted(order) != sorted("ifgo"):
        problems.add(f"decoder.parts_order: expected i, f, o and c, g or j, got {order!r}")
        order = "ifgo"
    return Gates(order, given.share("forget_bias"))


def listening(here: str) -> list[Rule]:
    """Returns where the tensors of attention to frames come from."""
    return [
        linear(f"{here}.key.weight", "enc_ctx.weight"),
        rename(f"{here}.query.bias", "enc_ctx.bias"),  # keys and queries are added
        linear(f"{here}.query.weight", "s_transformed.weight"),
        linear(f"{here}.feedback", "weight_feedback"),
        linear(f"{here}.energy", "energy"),
        linear(f"{here}.inverse_fertility", "inv_fertility"),
    ]


def speaking(here: str, gates: Gates, rows: Rows, prefix: str, embedding: str) -> list[Rule]:
    """Returns where the tensors of the decoder's LSTM and readout come from.

    Args:
        here: The decoder's name here.
        gates: What is done to those of the LSTM.
        rows: The order of the labels.
        prefix: Of the names there.
        embedding: Name of the embeddings there.
    """
    return [
        rename(f"{here}.embedding", embedding, transform=rows),
        rename(f"{here}.cell.weight_ih", f"{prefix}s.ff_weight", transform=gates),
        rename(f"{here}.cell.weight_hh", f"{prefix}s.rec_weight", transform=gates),
        rename(f"{here}.cell.bias_ih", f"{prefix}s.bias", transform=gates),
        linear(f"{here}.readout", f"{prefix}readout_in"),
        *outputs(f"{here}.output", f"{prefix}output_prob", rows),
    ]
