"""Random weights of a model of RETURNN's TensorFlow layers, and what its own beam search finds.

It is a part of returnn_tf.py, and runs where that does.

Source: rwth-i6/returnn, returnn/tf/layers/rec.py, `ChoiceLayer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from returnn.config import Config, global_config_ctx
from returnn.tf.network import TFNetwork

EOS = 0
LOUDER = {"target_embed0/W": 4.0, "output_prob/W": 1.5}
"""Weights that are larger, so that hypotheses differ by more than numbers are rounded."""


def with_hypotheses(config: Config, signals: list[Any], place: str) -> list[Any]:
    """Writes a checkpoint of random weights, whose hypotheses are some labels long and end.

    Args:
        config: Of the network.
        signals: (1, N) samples, of each utterance.
        place: Where the checkpoint is put.

    Returns:
        N-best lists of (labels, score), best first, of each utterance.

    Raises:
        RuntimeError: If there are no such weights among many.
    """
    graph, random = tf.Graph(), np.random.RandomState(7)
    session = tf.compat.v1.Session(graph=graph)
    with global_config_ctx(config), graph.as_default(), session.as_default():
        net = TFNetwork(config=config, train_flag=False, search_flag=True)
        net.construct_from_dict(config.typed_dict["network"])
        net.initialize_params(session)
        fetches = fetched(net)
        for _ in range(200):
            randomize(net, session, random)
            found = [search(net, fetches, session, signal) for signal in signals]
            if all(best and best[0][0] and longest(best) > 2 for best in found):
                net.save_params_to_file(place, session=session)
                return found
    raise RuntimeError("no random decoder ends its hypotheses by itself")


def longest(best: list[Any]) -> int:
    """Returns the most labels of a hypothesis."""
    return max(len(labels) for labels, _ in best)


def randomize(net: TFNetwork, session: Any, random: Any) -> None:
    """Gives all parameters and running statistics values that show mistakes."""
    for variable in net.get_params_list():
        shape, name = variable.shape.as_list(), variable.name.split(":")[0]
        value = random.randn(*shape) * 0.4
        if name.endswith("variance"):
            value = random.uniform(0.5, 2.0, shape)
        elif name.endswith(("scale", "gamma")):
            value = 1 + 0.2 * random.randn(*shape)
        for end, factor in LOUDER.items():
            value *= factor if name.endswith(end) else 1.0
        if name.endswith("output_prob/b"):
            value[EOS] += 3.0
        variable.load(value.astype(np.float32), session)


def fetched(net: TFNetwork) -> dict[str, Any]:
    """Returns what is fetched of a search, for one utterance."""
    layer = net.get_layer("output")
    output = layer.output.copy_as_batch_major()
    return {
        "labels": output.placeholder,
        "lengths": output.get_sequence_lengths(),
        "scores": layer.get_search_choices().beam_scores[0],
        "frames": net.get_layer("encoder").output.get_sequence_lengths()[0],
    }


def search(net: TFNetwork, fetches: dict[str, Any], session: Any, signal: Any) -> list[Any]:
    """Returns an n-best list of (labels, score); empty where hypotheses had to end at the limit.

    Scores are divided by lengths that count end of sentence.
    """
    audio = net.extern_data.data["audio"]
    feed = {
        audio.placeholder: signal,
        audio.get_sequence_lengths(): [signal.shape[1]],
        net.extern_data.get_batch_info().dim: 1,
    }
    found = session.run(fetches, feed)
    if found["lengths"].max() + 1 > found["frames"]:
        return []
    rows = zip(found["labels"], found["lengths"], found["scores"], strict=True)
    best = [(labels[:length].tolist(), float(score)) for labels, length, score in rows]
    return sorted(best, key=lambda each: -each[1])
