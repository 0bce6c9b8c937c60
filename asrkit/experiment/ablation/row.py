"""One row of a study: trained, then decoded and scored with the weights of the chosen epochs."""

from __future__ import annotations

import logging
from pathlib import Path

from asrkit.ablation_folder import search_at
from asrkit.config.explain import difference
from asrkit.config.yaml_loader import load
from asrkit.decoding.notes import read_note
from asrkit.errors import UserError
from asrkit.experiment.ablation.plan import Row, Study
from asrkit.experiment.decode import decode, score
from asrkit.experiment.prior import count_prior, estimate_prior
from asrkit.experiment.runs import open_run
from asrkit.experiment.search_needs import needs_of
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.experiment.train import train
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.training.checkpoints import read_index
from asrkit.training.metrics import read_log

log = logging.getLogger(__name__)


def is_done(study: Study, row: Row, until: int | None = None) -> bool:
    """Returns whether all epochs of a row are trained and scored, of the spec that is asked for.

    Args:
        study: What is asked for.
        row: The row.
        until: If set, whether it is trained to the end of this epoch.

    Raises:
        UserError: If they are of another one.
    """
    places = study.decoded.places()
    if until is not None or not places:
        done = epochs_of(study, row) >= (until or max(study.epochs))
    else:
        done = all(
            _is_decoded(
                row, at.search, study.folder.decoded(row.name, at.search, at.epoch, at.set_name)
            )
            for at in places
        )
    if done:
        require_same_spec(study, row)
    return done


def epochs_of(study: Study, row: Row) -> int:
    """Returns how many epochs a row was trained."""
    entries = read_log(study.folder.run(row.name).log)
    return int(entries[-1]["epoch"]) if entries else 0


def require_same_spec(study: Study, row: Row) -> None:
    """Checks that what a row's folder holds, if anything, was trained with its spec.

    Raises:
        UserError: If a key that training uses has another value.
    """
    folder = study.folder.run(row.name)
    if not folder.spec.is_file() or not read_index(folder.checkpoints):
        return
    _, wanted = resolve_spec(load(study.base, row.overrides))
    _, stored = resolve_spec(load_spec(folder.spec))
    changed = [
        line
        for line in difference(stored, wanted)
        if not line.startswith(("decoding", "parent", "data.num_workers", "data.decoding"))
    ]
    if changed:
        raise UserError(
            f"{folder.path} was trained with another spec: {', '.join(changed[:4])}; remove the "
            "folder, or choose another --out"
        )


def run_row(study: Study, row: Row, until: int | None = None) -> None:
    """Trains, decodes and scores a row, or what is missing of that.

    Args:
        study: What is asked for.
        row: The row.
        until: If set, training ends after this epoch for now, and nothing is decoded.

    Raises:
        UserError: If any of it fails.
    """
    run = study.folder.run(row.name)
    require_same_spec(study, row)
    train(study.base, row.overrides, study.data, run.path, until)
    if until is None:
        for epoch in study.decoded.epochs:
            _decode_epoch(study, row, epoch)


def _decode_epoch(study: Study, row: Row, epoch: int) -> None:
    """Decodes the sets with the weights of an epoch, by each search that has not yet."""
    run = study.folder.run(row.name)
    for search in study.searches:
        name = search_at(search, epoch)
        missing = [s for s in study.sets if not _is_decoded(row, search, run.decoded_set(name, s))]
        if not missing:
            continue
        weights = str(weights_of(run, epoch))
        _make_priors(study, run, search, weights)
        for set_name in missing:
            decode(run.path, study.data, set_name, search, weights, study.search_file, name=name)
            found = score(run.path, set_name, name)
            log.info("epoch %d, %s: WER %.2f %%", epoch, set_name, found.wer)


def _is_decoded(row: Row, search: str, place: DecodedSet) -> bool:
    """Returns whether a set was scored, and decoded by a row's search as it now is."""
    if not place.score.is_file() or not place.search.is_file():
        return False
    return bool(read_note(place.search).search == row.searches[search])


def weights_of(run: RunFolder, epoch: int) -> Path:
    """Returns the checkpoint at the end of an epoch.

    Raises:
        UserError: If there is none.
    """
    entries = read_index(run.checkpoints)
    found = [e for e in entries if e.epoch == epoch and e.dev is not None]
    if not found:
        there = ", ".join(str(e.epoch) for e in entries if e.dev is not None) or "none"
        raise UserError(
            f"{run.path} has no checkpoint of epoch {epoch}, only of {there}: was training stopped "
            "early, or a checkpoint removed?"
        )
    return run.checkpoints / found[-1].name


def _make_priors(study: Study, run: RunFolder, search: str, weights: str) -> None:
    """Writes the priors that the search needs, for these weights.

    Counted from alignments where the head learns from some, else estimated from the training data.
    """
    needs = needs_of(run.path, study.data, study.search_file).get(search)
    if needs is None or not needs.priors:
        return
    opened = open_run(run.path, study.data)
    settings = opened.experiment.speech
    model, _ = opened.speech_model(weights)
    for head in dict.fromkeys(needs.priors):
        found = model.named_heads().get(head)
        if found is not None and found.given_targets is not None and settings.alignments:
            count_prior(run.path, settings.alignments, settings.train[0], head, weights)
        else:
            estimate_prior(run.path, study.data, settings.train[0], head, weights)
