"""Makes a small random model of RETURNN's TensorFlow layers, and stores what it computes.

Run it after returnn_asr.py, in an environment of its own with `returnn`, `tensorflow-cpu` and
`safetensors`; asrkit needs none:

    export PYTHONPATH=.
    tensorflow-venv/bin/python tools/parity/returnn_tf.py tests/foreign/returnn

It writes a checkpoint, and tf.safetensors of its dump, with `model.` before the names, and of what
comes of the first utterance there: features, the output of each layer and scores; the losses of CTC
and of the decoder, with smoothed labels, and the gradients of their sum.
"""

from __future__ import annotations

import argparse
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
    signal = stored["signal.0"].astype(np.float32)[None] / 32768
    text = np.pad(stored["text.0"], (0, 1)).astype(np.int32)[None]
    place = Path(tempfile.mkdtemp()) / "network.001"
    found = run(size, signal, text, str(place))
    dump(str(place), folder / "tf.safetensors")
    weights = {f"model.{n}": t for n, t in load_file(folder / "tf.safetensors").items()}
    save_file(weights | found, folder / "tf.safetensors")


def run(size: int, signal: Any, text: Any, place: str) -> dict[str, Any]:
    """Writes a checkpoint, and returns what the model computes."""
    samples, labels = Dim(None, name="samples"), Dim(None, name="labels")
    vocabulary = Dim(size, name="vocabulary")
    data = {
        "audio": {"dim_tags": [batch_dim, samples]},
        "labels": {"dim_tags": [batch_dim, labels], "sparse_dim": vocabulary},
    }
    config = Config({"network": network(), "extern_data": data})
    graph = tf.Graph()
    with global_config_ctx(config), graph.as_default():
        tf.compat.v1.set_random_seed(7)
        with tf.compat.v1.Session(graph=graph).as_default() as session:
            net = TFNetwork(config=config, train_flag=train_flag())
            net.construct_from_dict(config.typed_dict["network"])
            net.initialize_params(session)
            randomize(net, session)
            net.save_params_to_file(place, session=session)
            return forward(net, session, signal, text)


def randomize(net: TFNetwork, session: Any) -> None:
    """Gives all parameters and running statistics values that show mistakes."""
    random = np.random.RandomState(7)
    for variable in net.get_params_list():
        shape, name = variable.shape.as_list(), variable.name.split(":")[0]
        value = random.randn(*shape) * 0.4
        if name.endswith("variance"):
            value = random.uniform(0.5, 2.0, shape)
        elif name.endswith(("scale", "gamma")):
            value = 1 + 0.2 * random.randn(*shape)
        variable.load(value.astype(np.float32), session)


def forward(net: TFNetwork, session: Any, signal: Any, text: Any) -> dict[str, Any]:
    """Returns the outputs of the first utterance, its losses, and gradients of their sum."""
    outputs: dict[str, Tensor] = {n: net.get_layer(place).output for n, place in PLACES.items()}
    fetches = {f"0.{name}": batch_first(out, out.placeholder) for name, out in outputs.items()}
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
