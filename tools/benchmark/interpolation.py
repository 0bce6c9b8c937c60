#!/usr/bin/env python3
"""How fast n-best lists are scored by an n-gram model interpolated with a neural one.

    python tools/benchmark/interpolation.py --run run/gmm-mini/tri --search words \
      --set dev-clean-mini --lm run/lm-words

Lists of 100, from lattices where there are some, of utterances that a search has decoded: seconds
of the processor, by seconds of speech, are the real-time factor; models are loaded before.
"""

import sys
import time
from pathlib import Path

import click
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from asrkit.experiment.found_lists import FoundLists
from asrkit.experiment.interpolation import read_interpolation
from asrkit.experiment.runs import open_run
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.run_files import read_nbest
from asrkit.run_folder import RunFolder

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--run", type=FOLDER, required=True)
@click.option("--search", required=True)
@click.option("--set", "set_name", required=True)
@click.option("--lm", type=FOLDER, required=True)
@click.option("--checkpoint", default="average")
@click.option("--arpa", type=click.Path(path_type=Path), default=Path("graph/words.arpa.gz"))
@click.option("--utterances", default=30)
@click.option("--together", default=8, help="Utterances that are scored together.")
def main(
    run: Path,
    search: str,
    set_name: str,
    lm: Path,
    checkpoint: str,
    arpa: Path,
    utterances: int,
    together: int,
) -> None:
    """Score lists of a decoded set."""
    torch.set_num_threads(1)
    tokenizer = open_run(run).tokenizer
    lines = list(read_nbest(RunFolder(run).decoded_set(search, set_name).nbest))[:utterances]
    found = FoundLists(run, search, tokenizer, 100)
    lists = [[tokenizer.decode(one.labels) for one in found(line.id)] for line in lines]
    device, weights = torch.device("cpu"), InterpolationWeights()
    models = read_interpolation(run / arpa, lm, checkpoint, weights, device)
    seconds = sum(line.seconds for line in lines)
    texts = [text for some in lists for text in some]
    models.sentence_log_probs(texts[:100])  # warms up
    for what, score in (
        ("both models", models.sentence_log_probs),
        ("neural alone", models.neural),
        ("n-gram alone", lambda some: models.ngram.scores([text.split() for text in some])),
    ):
        began = time.process_time()
        for begin in range(0, len(lists), together):
            score([text for some in lists[begin : begin + together] for text in some])
        used = time.process_time() - began
        print(f"{what}: {used:.2f} s for {len(texts)} hypotheses of {seconds:.0f} s, "
              f"RTF {used / seconds:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
