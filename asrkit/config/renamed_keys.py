"""Keys of specs that have other names now. Specs and run folders with the old ones are still read.

In a key path `*` matches one step of any name, such as that of a head. A `type` is that of the
part that had the old key: parts of other types, such as those of a plugin, keep keys of that name.
"""

from __future__ import annotations

from dataclasses import dataclass

ANY = "*"


@dataclass(frozen=True)
class Rename:
    """A key that has another name now.

    Args:
        old: Its key path before; `*` matches any one step.
        new: Its key path now, with as many `*`.
        type: Of the part that had the old key, where others keep a key of that name.
    """

    old: str
    new: str
    type: str | None = None

    def __post_init__(self) -> None:
        if self.old.count(ANY) > self.new.count(ANY) or self.old.endswith(ANY):
            raise ValueError(f"{self.old} -> {self.new}: a `*` is lost, or ends the old key path")

    def fits(self, found: object) -> bool:
        """Returns whether a part of a type has this key; one without may be of any type."""
        return self.type is None or found is None or found == self.type


@dataclass(frozen=True)
class Note:
    """A key that was read by its old name.

    Args:
        old: The name that was given.
        new: The name that it has now.
        where: "file:line" or "override".
    """

    old: str
    new: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.old} is now {self.new}; the old name is still read"


def _moved(part: str, kind: str, groups: dict[str, tuple[str, ...]]) -> list[Rename]:
    """Returns the renames of keys that are now in groups, under the same name."""
    return [
        Rename(f"{part}.{key}", f"{part}.{group}.{key}", kind)
        for group, keys in groups.items()
        for key in keys
    ]


SELF_ATTENTION = "model.encoder.blocks.*.module."
HEAD = "model.heads.*."

RENAMED: list[Rename] = [
    Rename("model.encoder.span", "model.encoder.context.span", "conformer"),
    Rename("model.encoder.span", "model.encoder.context.span", "transformer"),
    Rename("model.encoder.training_chunks", "model.encoder.context.training_chunks", "conformer"),
    Rename("model.encoder.hidden_dim", "model.encoder.feed_forward.hidden_dim", "transformer"),
    Rename("model.encoder.activation", "model.encoder.feed_forward.activation", "transformer"),
    Rename(f"{SELF_ATTENTION}bias", f"{SELF_ATTENTION}projections.bias", "self_attention"),
    Rename(
        f"{SELF_ATTENTION}initial_scale",
        f"{SELF_ATTENTION}projections.initial_scale",
        "self_attention",
    ),
    Rename(f"{HEAD}readout_dim", f"{HEAD}joiner.dim", "transducer"),
    Rename(f"{HEAD}readout", f"{HEAD}joiner.readout", "transducer"),
    Rename(f"{HEAD}blank", f"{HEAD}joiner.blank", "transducer"),
    Rename(f"{HEAD}dropout", f"{HEAD}joiner.dropout", "transducer"),
    Rename(f"{HEAD}tap", f"{HEAD}input.tap", "transducer"),
    Rename(f"{HEAD}bottleneck_dim", f"{HEAD}input.bottleneck_dim", "transducer"),
    Rename(f"{HEAD}context", f"{HEAD}input.context", "transducer"),
    *_moved(
        "training",
        "standard",
        {
            "update": (
                "accumulate",
                "max_grad_norm",
                "precision",
                "normalize",
                "weight_changes",
                "gradient_noise",
                "max_nonfinite",
                "exchange",
            ),
            "checkpoints": (
                "keep_best",
                "keep_last",
                "save_minutes",
                "save_steps",
                "reload_best",
            ),
        },
    ),
    *_moved(
        "data",
        "speech",
        {
            "batches": ("max_utterances", "num_buckets", "order"),
            "limits": ("min_seconds", "max_seconds", "max_labels"),
        },
    ),
    Rename("data.batch_seconds", "data.batches.max_seconds", "speech"),
    Rename("data.decode_batch_seconds", "data.decoding.batch_seconds", "speech"),
    Rename("data.max_decode_seconds", "data.decoding.max_seconds", "speech"),
]
