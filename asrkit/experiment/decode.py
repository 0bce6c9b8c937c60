"""`asrkit decode`, `score`, `align` and `average`: what is done with a trained run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from asrkit.config.build import build
from asrkit.config.yaml_loader import load, override
from asrkit.data.dataset import decode_batches
from asrkit.data.manifests import open_set
from asrkit.decoding.decode import decode as decode_set
from asrkit.decoding.search import Search
from asrkit.errors import UserError
from asrkit.experiment.record import record_command
from asrkit.experiment.spec import make_tokenizer, open_run, trained_model
from asrkit.scoring.hub5 import score_hub5
from asrkit.scoring.wer import Score, score_run
from asrkit.training import checkpoints


def decode(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    checkpoint: str = "average",
    spec: Path | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Decodes one set with one search; writes RUN/decode/SEARCH/SET/nbest.jsonl.

    Args:
        run: Folder of a trained run.
        data: Data folder with the set's manifest.
        set_name: The set.
        search: Name of a search below `decoding:`.
        checkpoint: "average", "best", "last" or a path.
        spec: YAML file whose `decoding:` replaces that of the run.
        overrides: `key=value` changes below `decoding.SEARCH`.

    Returns:
        The summary that is also written to summary.json.

    Raises:
        UserError: If run, set, search or checkpoint don't exist or don't fit together.
    """
    experiment, resolved = open_run(run)
    node = search_node(resolved, search, spec, overrides)
    tokenizer = make_tokenizer(experiment, data)
    model, path = trained_model(experiment, tokenizer, run, checkpoint)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cuts = open_set(data, [set_name])
    fingerprint = json.dumps([node, str(path), hash_of(path), set_name], sort_keys=True)
    record_command(run)
    return decode_set(
        model=model.to(device),
        batches=decode_batches(cuts, experiment.data),
        tokenizer=tokenizer,
        search=build(Search, node, f"decoding.{search}"),
        out=run / "decode" / search / set_name,
        device=device,
        total=len(cuts),
        fingerprint=hashlib.sha256(fingerprint.encode()).hexdigest(),
    )


def search_node(
    resolved: dict[str, Any], search: str, spec: Path | None, overrides: Sequence[str]
) -> Any:
    """Returns the spec node of a search by name, changed by the overrides.

    Raises:
        UserError: If there is no such search; names those that there are.
    """
    prefixed = [f"decoding.{search}.{override}" for override in overrides]
    tree = resolved if spec is None else load(spec).tree
    searches = tree.get("decoding") or {}
    if search not in searches:
        names = ", ".join(searches) or "none"
        raise UserError(f"there is no search {search!r} below decoding:; there are: {names}")
    if not prefixed:
        return searches[search]
    changed: dict[str, Any] = override({"decoding": searches}, prefixed)
    return changed["decoding"][search]


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def score(
    run: Path,
    set_name: str,
    search: str,
    against: Path | None = None,
    stm: Path | None = None,
    glm: Path | None = None,
    drop_hesitations: bool = False,
) -> Score:
    """Scores a decoded set; writes score.json and the aligned texts beside its n-best lists.

    Args:
        run: Folder of a trained run.
        set_name: The set.
        search: Name of the search that decoded it.
        against: Another run to compare with.
        stm: References by segment: the set is scored as in NIST's telephone evaluations.
        glm: Mapping rules for that.
        drop_hesitations: Whether hypotheses are scored without hesitations and partial words.

    Raises:
        UserError: If the set was not decoded with this search, or one of the two files is missing.
    """
    if (stm is None) != (glm is None) or (drop_hesitations and stm is None):
        raise UserError("--stm and --glm belong together, and --drop-hesitations needs them both")
    folder = run / "decode" / search / set_name
    nbest = folder / "nbest.jsonl"
    if not nbest.is_file():
        raise UserError(
            f"{nbest} is missing; first `asrkit decode --run {run} --set {set_name} "
            f"--search {search} --data DIR`"
        )
    parent = None if against is None else against / "decode" / search / set_name / "nbest.jsonl"
    record_command(run)
    if stm is not None and glm is not None:
        return score_hub5(nbest, folder, stm, glm, parent, drop_hesitations)
    return score_run(nbest, folder, against=parent)


def average(run: Path, best: int | None = None, last: int | None = None) -> Path:
    """Averages the weights of several checkpoints into RUN/checkpoints/average.pt."""
    path = checkpoints.average_run(run, best=best, last=last)
    record_command(run)
    return path
