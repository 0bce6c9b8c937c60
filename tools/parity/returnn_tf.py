"""Makes a small random model of RETURNN's TensorFlow layers, and stores what it computes.

Run it after returnn_asr.py, in an environment of its own with `returnn`, `dm-tree`,
`tensorflow-cpu` and `safetensors`; asrkit needs none:

    export PYTHONPATH=.
    tensorflow-venv/bin/python tools/parity/returnn_tf.py tests/foreign/returnn

It writes a checkpoint, and tf.safetensors of its dump, with `model.` before the names, and of what
comes of the first utterance there: features, the output of each layer and scores; the losses of CTC
and of the decoder, with smoothed labels, and the gradients of their sum. The hypotheses of both
utterances that RETURNN's own search finds are in its metadata.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from returnn.config import Config, global_config_ctx
from returnn.tensor import Dim, Tensor, batch_dim
from returnn.tf.network import TFNetwork
from returnn.tf.util.basic import get_global_train_flag_placeholder as train_flag
from safetensors.numpy import load_file, save_file

from tools.dump_tensorflow import dump
from tools.parity.returnn_network import network
from tools.parity.returnn_sizes import LAYERS
from tools.parity.returnn_tf_search import with_hypotheses

PLACES = {
    "features": "source",
    "embed": "source_linear",
    **{f"block{n}": f"conformer_block_{n:02}" for n in range(1, LAYERS + 1)},
    "frames": "encoder",
    "attention": "output/output_prob",
}
"""Names of layers."""
LOSSES = {"ctc": "ctc", "attention": "output/output_prob"}
GRADIENTS = ("embed", "frames", "attention")


def main() -> None:
    """Reads the command line, and writes the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    stored = load_file(folder / "aed.safetensors")
    size = stored["model.output_prob.bias"].shape[0]
    signals = [stored[f"signal.{n}"].astype(np.float32)[None] / 32768 for n in (0, 1)]
    text = np.pad(stored["text.0"], (0, 1)).astype(np.int32)[None]
    place = str(Path(tempfile.mkdtemp()) / "network.001")
    hypotheses = with_hypotheses(configuration(size), signals, place)
    found = run(configuration(size), signals[0], text, place)
    dump(place, folder / "tf.safetensors")
    weights = {f"model.{n}": t for n, t in load_file(folder / "tf.safetensors").items()}
    said = {"hypotheses": json.dumps(hypotheses)}
    save_file(weights | found, folder / "tf.safetensors", said)


def configuration(size: int) -> Config:
    """Returns the network, and the data that it reads: audio and labels of a vocabulary's size."""
    samples, labels = Dim(None, name="samples"), Dim(None, name="labels")
    vocabulary = Dim(size, name="vocabulary")
    data = {
        "audio": {"dim_tags": [batch_dim, samples]},
        "labels": {"dim_tags": [batch_dim, labels], "sparse_dim": vocabulary},
    }
    return Config({"network": network(), "extern_data": data})


def run(config: Config, signal: Any, text: Any, place: str) -> dict[str, Any]:
    """Returns what the model of a checkpoint computes."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with global_config_ctx(config), graph.as_default(), session.as_default():
        net = TFNetwork(config=config, train_flag=train_flag())
        net.construct_from_dict(config.typed_dict["network"])
        net.load_params_from_file(place, session=session)
        return forward(net, session, signal, text)


def forward(net: TFNetwork, session: Any, signal: Any, text: Any) -> dict[str, Any]:
    """Returns the outputs of the first utterance, its losses, and gradients of their sum."""
    outputs: dict[str, Tensor] = {n: net.get_layer(place).output for n, place in PLACES.items()}
    fetches = {f"0.{name}": batch_first(out, out.placeholder) for name, out in outputs.items()}
    ctc = net.get_layer("ctc").output_before_activation.x
    fetches["0.ctc"] = batch_first(net.get_layer("ctc").output, tf.nn.log_softmax(ctc))
    losses, total, _ = net.get_losses_initialized(with_total=True)
    for name, place in LOSSES.items():
        fetches[f"0.loss_{name}"] = losses[place].get_loss_value_for_objective()
    for name in GRADIENTS:
        (gradient,) = tf.gradients(total, outputs[name].placeholder)
        fetches[f"0.gradient_{name}"] = batch_first(outputs[name], gradient)
    audio, labels = net.extern_data.data["audio"], net.extern_data.data["labels"]
    feed = {
        net.train_flag: False,
        audio.placeholder: signal,
        audio.get_sequence_lengths(): [signal.shape[1]],
        labels.placeholder: text,
        labels.get_sequence_lengths(): [text.shape[1]],
        net.extern_data.get_batch_info().dim: 1,
    }
    return {name: np.asarray(value) for name, value in session.run(fetches, feed).items()}


def batch_first(output: Tensor, tensor: Any) -> Any:
    """Returns a tensor with the axes of an output, that of the batch first."""
    same = output.copy_template()
    same.placeholder = tensor
    return same.copy_as_batch_major().placeholder


if __name__ == "__main__":
    main()
