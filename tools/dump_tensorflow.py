"""Writes the tensors of a TensorFlow checkpoint as a file of safetensors, which asrkit can import.

It runs where TensorFlow is installed; asrkit need not be there, nor the toolkit that trained:

    pip install safetensors
    python tools/dump_tensorflow.py net-model/network.023 network.023.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def dump(checkpoint: str, path: Path) -> None:
    """Writes all tensors that hold numbers.

    Args:
        checkpoint: Its path, without .index and .data-00000-of-00001.
        path: Of the file that is written.
    """
    import tensorflow as tf  # here, so that --help works without

    reader = tf.train.load_checkpoint(checkpoint)
    names = sorted(reader.get_variable_to_shape_map())
    tensors = {name: np.asarray(reader.get_tensor(name)) for name in names}
    numbers = {name: tensor for name, tensor in tensors.items() if tensor.dtype.kind in "fiub"}
    for name in tensors.keys() - numbers.keys():
        print(f"left: {name}, which holds no numbers")
    save_file({name: np.asarray(tensor, order="C") for name, tensor in numbers.items()}, path)
    print(f"{path}: {len(numbers)} tensors")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Write tensors of TensorFlow as safetensors.")
    parser.add_argument("checkpoint")
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    dump(options.checkpoint.removesuffix(".index"), options.path)


if __name__ == "__main__":
    main()
