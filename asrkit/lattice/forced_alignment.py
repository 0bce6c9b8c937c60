"""The best path of given labels through CTC log-probabilities: when each label was spoken."""

from __future__ import annotations

import torch
from torch import Tensor

IMPOSSIBLE = -1e30


def best_path(
    log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the Viterbi path of labels under the CTC topology.

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.
        labels: (B, U).
        label_lengths: (B,).

    Returns:
        (B, T) the position in the label sequence that each frame emits, -1 for blank and padding;
        and (B,) the path's log-probability, -1e30 where the labels do not fit into the frames.
    """
    extended = _extended(labels, log_probs.shape[2] - 1)  # (B, S) with S = 2U + 1
    batch, states = extended.shape
    num_frames = log_probs.shape[1]
    emitted = log_probs.gather(2, extended[:, None].expand(-1, num_frames, -1))  # (B, T, S)
    # A label may follow another label directly if the two differ.
    skips = torch.zeros_like(extended, dtype=torch.bool)
    skips[:, 3::2] = extended[:, 3::2] != extended[:, 1:-2:2]
    score = log_probs.new_full((batch, states), IMPOSSIBLE)
    score[:, :2] = emitted[:, 0, :2]
    steps = torch.zeros(num_frames, batch, states, dtype=torch.int64, device=labels.device)
    for frame in range(1, num_frames):
        one = torch.nn.functional.pad(score, (1, 0), value=IMPOSSIBLE)[:, :-1]
        two = torch.nn.functional.pad(score, (2, 0), value=IMPOSSIBLE)[:, :states]
        choices = torch.stack([score, one, two.masked_fill(~skips, IMPOSSIBLE)])
        best, steps[frame] = choices.max(0)
        moved = best + emitted[:, frame]
        score = torch.where((frame < lengths)[:, None], moved, score)
    last = (2 * label_lengths)[:, None]
    ends = score.gather(1, torch.cat([last, (last - 1).clamp(min=0)], dim=1))
    total, which = ends.max(1)
    state = last[:, 0] - which * (label_lengths > 0)
    path = torch.full((batch, num_frames), -1, dtype=torch.int64, device=labels.device)
    for frame in range(num_frames - 1, -1, -1):
        inside = frame < lengths
        emits = inside & (state % 2 == 1)
        path[:, frame] = torch.where(emits, state // 2, path[:, frame])
        back = steps[frame].gather(1, state[:, None]).squeeze(1)
        state = torch.where(inside, state - back, state)
    return path, total.clamp(min=IMPOSSIBLE)


def label_spans(path: Tensor) -> list[tuple[int, int]]:
    """Returns first frame and end (exclusive) of each label of one path (T,)."""
    spans: dict[int, tuple[int, int]] = {}
    for frame, position in enumerate(path.tolist()):
        if position >= 0:
            spans[position] = (spans.get(position, (frame, 0))[0], frame + 1)
    return [spans[position] for position in sorted(spans)]


def _extended(labels: Tensor, blank: int) -> Tensor:
    """Returns blank, label, blank, label, ..., blank."""
    result = labels.new_full((labels.shape[0], 2 * labels.shape[1] + 1), blank)
    result[:, 1::2] = labels
    return result
