"""Our transformer is FT-Transformer where requested, and masks what is absent."""

import pytest
import torch

from helpers.slimp_problem import build_settings
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import ColumnSchema, Metadata, Schema
from toolkit_slimp.metadata.transformer import Transformer, masked_mean

CARDINALITIES = (3, 5)
SCHEMA = Schema(
    (
        ColumnSchema("a", "lesion", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("b", "lesion", "numeric", quantiles=(0.0, 1.0)),
        *(
            ColumnSchema(f"c{n}", "lesion", "categorical", categories=tuple("vwxyz"[: n - 1]))
            for n in CARDINALITIES  # with the word unknown, n words
        ),
    )
)


def copy_weights_(ours: MetadataEncoder, theirs) -> None:
    """Theirs to ours: they have a layer for each of query, key and value, a table a column."""
    state = {
        "cls": theirs.cls_embedding.weight,
        "numbers.weight": theirs.cont_embeddings.weight,
        "column_bias": torch.cat([theirs.cont_embeddings.bias, theirs.cat_embeddings.bias]),
        # A numeric column's word is unknown: nothing of theirs.
        "words": torch.cat(
            [torch.zeros(2, ours.out_dim), *(e.weight for e in theirs.cat_embeddings.embeddings)]
        ),
    }
    for number, block in enumerate(theirs.backbone.blocks):
        mine = f"transformer.blocks.{number}."
        attention = block["attention"]
        for kind in ("weight", "bias"):
            parts = [getattr(getattr(attention, name), kind) for name in ("W_q", "W_k", "W_v")]
            state[f"{mine}qkv.{kind}"] = torch.cat(parts)
            state[f"{mine}out.{kind}"] = getattr(attention.W_out, kind)
            state[f"{mine}widen.{kind}"] = getattr(block["ffn"].linear1, kind)
            state[f"{mine}narrow.{kind}"] = getattr(block["ffn"].linear2, kind)
            state[f"{mine}mlp_norm.{kind}"] = getattr(block["ffn_normalization"], kind)
            if number:
                norm = block["attention_normalization"]
                state[f"{mine}attention_norm.{kind}"] = getattr(norm, kind)
    ours.load_state_dict(state)


@pytest.mark.parametrize("depth", [1, 3])
def test_it_is_ft_transformer_to_the_last_digits(depth):
    rtdl = pytest.importorskip("rtdl_revisiting_models")
    torch.manual_seed(0)
    dim, heads, ratio = 24, 4, 4 / 3
    theirs = rtdl.FTTransformer(
        n_cont_features=2, cat_cardinalities=list(CARDINALITIES), d_out=None, n_blocks=depth,
        d_block=dim, attention_n_heads=heads, attention_dropout=0.0, ffn_d_hidden=None,
        ffn_d_hidden_multiplier=ratio, ffn_dropout=0.0, residual_dropout=0.0,
    ).double()  # fmt: skip
    settings = build_settings(
        metadata_dim=dim, metadata_depth=depth, metadata_heads=heads, metadata_mlp_ratio=ratio,
        metadata_pooling="cls", metadata_blocks="ft",
    )  # fmt: skip
    ours = MetadataEncoder(SCHEMA, settings).double()
    copy_weights_(ours, theirs)
    numbers = torch.randn(7, 2, dtype=torch.float64)
    ids = torch.stack([torch.randint(n, (7,)) for n in CARDINALITIES], dim=1)
    words = [torch.nn.functional.one_hot(ids[:, i], n) for i, n in enumerate(CARDINALITIES)]
    words = torch.cat([torch.zeros(7, 2), *words], dim=1).bool()
    actual = ours(Metadata(numbers, words, torch.ones(7, 4, dtype=torch.bool)))
    expected = theirs(numbers, ids)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    # Gradients too: of what both have in one piece.
    actual.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.cls.grad, theirs.cls_embedding.weight.grad)
    torch.testing.assert_close(ours.numbers.weight.grad, theirs.cont_embeddings.weight.grad)


@pytest.mark.parametrize("style", ["plain", "ft"])
def test_absent_tokens_change_nothing_as_if_they_were_cut_off(style):
    torch.manual_seed(0)
    model = Transformer(build_settings(metadata_dim=8, metadata_blocks=style)).double().eval()
    tokens = torch.randn(3, 6, 8, dtype=torch.float64)
    present = torch.tensor([True, True, False, True, False, False]).repeat(3, 1)
    kept = present[0]
    actual = model(tokens, present)[:, kept]
    expected = model(tokens[:, kept], torch.ones(3, 3, dtype=torch.bool))
    torch.testing.assert_close(actual, expected)
    shorter = masked_mean(tokens, present)
    torch.testing.assert_close(shorter, tokens[:, kept].mean(1))


def test_the_plain_blocks_equal_those_of_torch():
    torch.manual_seed(0)
    ours = Transformer(build_settings(metadata_dim=8, metadata_depth=1)).double().eval()
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    block = ours.blocks[0]
    pairs = {
        "self_attn.in_proj_": block.qkv, "self_attn.out_proj.": block.out, "linear1.": block.widen,
        "linear2.": block.narrow, "norm1.": block.attention_norm, "norm2.": block.mlp_norm,
    }  # fmt: skip
    theirs.load_state_dict(
        {f"{key}{kind}": getattr(layer, kind) for key, layer in pairs.items()
         for kind in ("weight", "bias")}
    )  # fmt: skip
    tokens, present = torch.randn(4, 5, 8, dtype=torch.float64), torch.rand(4, 5) > 0.3
    present[:, 0] = True
    expected = ours.norm(theirs(tokens, src_key_padding_mask=~present))
    torch.testing.assert_close(ours(tokens, present), expected)
