"""Small models of RETURNN's frontend, with the names and the computation of the public setups.

Source: rwth-i6/i6_experiments, users/zeyer/experiments/exp2023_04_25_rf,
    conformer_import_moh_att_2023_06_30.py (`Recogniser`), and users/gaudino/models/asr/rf,
    nn_lm/lm_import_2023_09_03.py (`LstmLm`) and ilm_import_2024_04_17.py (`MiniLstm`).
"""

from __future__ import annotations

import math
from typing import Any

import returnn.frontend as rf
from returnn.frontend.decoder.transformer import TransformerDecoder
from returnn.frontend.encoder.conformer import ConformerConvSubsample, ConformerEncoder
from returnn.tensor import Dim, Tensor, single_step_dim

from tools.parity import returnn_sizes as sizes

ATTENTION = {
    "with_bias": False,
    "with_linear_pos": False,
    "with_pos_bias": False,
    "learnable_pos_emb": True,
    "learnable_pos_emb_clipping": sizes.CLIP,
    "separate_pos_emb_per_head": False,
}


def conformer(mels: Dim) -> ConformerEncoder:
    """Returns the encoder."""
    front = ConformerConvSubsample(
        mels,
        out_dims=[Dim(size, name=f"conv{n}") for n, size in enumerate(sizes.CHANNELS)],
        filter_sizes=[(3, 3)] * 3,
        pool_sizes=[(1, 2)],
        strides=[(1, 1), (3, 1), (2, 1)],
    )
    layer = {
        "conv_norm_opts": {"use_mask": True},
        "self_att_opts": ATTENTION,
        "ff_activation": lambda x: rf.relu(x) ** 2.0,
        "conv_kernel_size": sizes.KERNEL,
    }
    return ConformerEncoder(
        mels,
        Dim(sizes.DIM, name="enc"),
        ff_dim=Dim(sizes.HIDDEN, name="ff"),
        input_layer=front,
        encoder_layer_opts=layer,
        num_layers=sizes.LAYERS,
        num_heads=sizes.HEADS,
    )


class Recogniser(rf.Module):
    """Conformer, CTC after each layer, and an LSTM with attention."""

    def __init__(self, labels: Dim, zoneout_output: bool = False) -> None:
        super().__init__()
        self.mels = Dim(sizes.MELS, name="mels")
        self.encoder = conformer(self.mels)
        self.labels, self.eos, self.blank = labels, 0, labels.dimension
        dim = self.encoder.out_dim
        for layer in range(1, sizes.LAYERS + 1):
            setattr(self, f"enc_aux_logits_{layer}", rf.Linear(dim, labels + 1))
        self.add_decoder(dim, zoneout_output)

    def add_decoder(self, dim: Dim, zoneout_output: bool) -> None:
        """Adds the LSTM and its attention."""
        self.heads, key = Dim(1, name="heads"), Dim(sizes.KEY, name="key")
        self.enc_ctx = rf.Linear(dim, key)
        self.inv_fertility = rf.Linear(dim, self.heads, with_bias=False)
        self.target_embed = rf.Embedding(self.labels, Dim(sizes.EMBEDDING, name="embedding"))
        read, attended = self.target_embed.out_dim, self.heads * dim
        self.s = rf.ZoneoutLSTM(
            read + attended,
            Dim(sizes.STATE, name="lstm"),
            zoneout_factor_cell=0.15,
            zoneout_factor_output=0.05,
            use_zoneout_output=zoneout_output,
            parts_order="jifo",
            forget_bias=0.0,
        )
        self.weight_feedback = rf.Linear(self.heads, key, with_bias=False)
        self.s_transformed = rf.Linear(self.s.out_dim, key, with_bias=False)
        self.energy = rf.Linear(key, self.heads, with_bias=False)
        joined = self.s.out_dim + read + attended
        self.readout_in = rf.Linear(joined, Dim(sizes.READOUT, name="readout"))
        self.output_prob = rf.Linear(self.readout_in.out_dim // 2, self.labels)

    def encode(self, signal: Tensor, time: Dim) -> tuple[dict[str, Tensor], Dim]:
        """Returns what is computed on the way to the frames, by name; and their time."""
        found: dict[str, Tensor] = {}
        found["features"], time = rf.audio.log_mel_filterbank_from_raw(
            signal, in_spatial_dim=time, out_dim=self.mels, log_base=math.exp(2.3026)
        )
        shorter, _ = self.encoder.input_layer(found["features"], in_spatial_dim=time)
        found["embed"] = self.encoder.input_projection(shorter)
        blocks: dict[str, Tensor] = {}
        found["frames"], time = self.encoder(
            found["features"], in_spatial_dim=time, collected_outputs=blocks
        )
        return found | {f"block{int(n) + 1}": block for n, block in blocks.items()}, time

    def initial(self, batch: list[Dim], time: Dim) -> rf.State:
        """Returns the state before the first label."""
        dim = self.heads * self.encoder.out_dim
        return rf.State(
            s=self.s.default_initial_state(batch_dims=batch),
            att=rf.zeros([*batch, dim], feature_dim=dim),
            past=rf.zeros([*batch, time, self.heads], feature_dim=self.heads),
        )

    def step(
        self, read: Tensor, state: rf.State, frames: Tensor, time: Dim
    ) -> tuple[Tensor, rf.State]:
        """Returns unnormalised scores after an embedding."""
        new = rf.State()
        s, new.s = self.s(
            rf.concat_features(read, state.att), state=state.s, spatial_dim=single_step_dim
        )
        keys, fertility = self.enc_ctx(frames), rf.sigmoid(self.inv_fertility(frames))
        energy = self.energy(
            rf.tanh(keys + self.weight_feedback(state.past) + self.s_transformed(s))
        )
        weights = rf.softmax(energy, axis=time)
        new.past = state.past + weights * fertility * 0.5
        attended = rf.dot(weights, frames, reduce=time, use_mask=False)
        attended.feature_dim = self.encoder.out_dim
        new.att, _ = rf.merge_dims(attended, dims=(self.heads, self.encoder.out_dim))
        joined = self.readout_in(rf.concat_features(s, read, new.att))
        best = rf.reduce_out(joined, mode="max", num_pieces=2, out_dim=self.output_prob.in_dim)
        return self.output_prob(best), new


class LstmLm(rf.Module):
    """A language model of LSTMs."""

    def __init__(self, labels: Dim) -> None:
        super().__init__()
        size, state = Dim(6, name="embedding"), Dim(8, name="lm")
        self.input = rf.Embedding(labels, size)
        self.input_bias = rf.Parameter((size,))
        self.layers = rf.Sequential(rf.LSTM(size, state), rf.LSTM(state, state))
        self.output = rf.Linear(state, labels)

    def __call__(self, read: Tensor, time: Dim, batch: list[Dim]) -> Tensor:
        """Returns unnormalised scores after each label."""
        x = self.input(read) + self.input_bias
        for layer in self.layers:
            initial = layer.default_initial_state(batch_dims=batch)
            x, _ = layer(x, state=initial, spatial_dim=time)
        return self.output(x)


class MiniLstm(rf.Module):
    """A small LSTM in the place of attention, with a copy of the decoder."""

    def __init__(self, of: Recogniser) -> None:
        super().__init__()
        context, small = Dim(sizes.DIM, name="context"), Dim(5, name="mini")
        read = of.target_embed.out_dim
        self.context, self.state = context, of.s.out_dim
        self.mini_att_lstm = rf.LSTM(read, small)
        self.mini_att = rf.Linear(small, context)
        self.prior_s = rf.ZoneoutLSTM(
            read + context,
            self.state,
            zoneout_factor_cell=0.15,
            zoneout_factor_output=0.05,
            use_zoneout_output=of.s.use_zoneout_output,
            parts_order="jifo",
        )
        self.prior_readout_in = rf.Linear(self.state + read + context, Dim(sizes.READOUT, name="r"))
        self.prior_output_prob = rf.Linear(self.prior_readout_in.out_dim // 2, of.labels)

    def initial(self, batch: list[Dim]) -> rf.State:
        """Returns the state before the first label."""
        return rf.State(
            small=self.mini_att_lstm.default_initial_state(batch_dims=batch),
            s=self.prior_s.default_initial_state(batch_dims=batch),
            att=rf.zeros([*batch, self.context], feature_dim=self.context),
        )

    def step(self, read: Tensor, state: rf.State) -> tuple[Tensor, rf.State]:
        """Returns unnormalised scores after an embedding."""
        new = rf.State()
        small, new.small = self.mini_att_lstm(read, state=state.small, spatial_dim=single_step_dim)
        new.att = self.mini_att(small)
        s, new.s = self.prior_s(
            rf.concat_features(read, state.att), state=state.s, spatial_dim=single_step_dim
        )
        joined = self.prior_readout_in(rf.concat_features(s, read, new.att))
        best = rf.reduce_out(
            joined, mode="max", num_pieces=2, out_dim=self.prior_output_prob.in_dim
        )
        return self.prior_output_prob(best), new


def transformer_lm(labels: Dim, **options: Any) -> TransformerDecoder:
    """Returns a language model with the settings of the public one of LibriSpeech."""
    return TransformerDecoder(
        None,
        labels,
        Dim(12, name="model"),
        ff_dim=Dim(16, name="lm-ff"),
        num_heads=2,
        num_layers=2,
        embed_dim=Dim(6, name="lm-embedding"),
        layer_opts={"self_att_opts": {"with_bias": False}},
        input_embedding_scale=1.0,
        share_embedding=False,
        logits_with_bias=True,
        **options,
    )
