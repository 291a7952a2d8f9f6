"""Every pooling as its equations are written and as people run it today, for tests and benchmarks.

A new pooling gets its function here, named as in the registry, its entry in `LITERAL` and its
number of parameters in `PARAMETERS`.

`LITERAL[name](pool, tokens)` computes what `pool(tokens)` does from the same parameters: norms,
keys and values of all tokens are built, all rows of an attention are computed, one product a line
of the equations (docs/poolings.md). Nothing is shared with what is tested but the parameters;
batch norms are those of torch, and follow `pool.training` without moving running statistics.

Shapes: tokens `(b, n, d)` -> `(b, o)`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Literal = Callable[[Any, Tensor], Tensor]


def attend(queries: Tensor, keys: Tensor, values: Tensor, num_heads: int) -> Tensor:
    """Multi-head attention of `(b, q, d)` over `(b, n, d)`: heads one after the other."""
    heads = []
    for q, k, v in zip(*(x.chunk(num_heads, -1) for x in (queries, keys, values)), strict=True):
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        heads.append(scores.softmax(-1) @ v)
    return torch.cat(heads, dim=-1)


def self_attend(joint: Tensor, num_heads: int) -> Tensor:
    """Multi-head attention of queries, keys and values that lie side by side, `(b, n, 3 d)`."""
    queries, keys, values = joint.chunk(3, -1)
    return attend(queries, keys, values, num_heads)


def batch_norm(norm: Any, rows: Tensor) -> Tensor:
    """Normalise channels (dimension 1) by the batch, or in evaluation by running statistics."""
    mean, variance = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    return F.batch_norm(rows, mean, variance, norm.weight, norm.bias, norm.training, 0.0, norm.eps)


def query_of(parameter: Tensor, tokens: Tensor) -> Tensor:
    """Return a learned query once an image, `(b, 1, d)`."""
    return parameter.expand(len(tokens), 1, -1)


def ep(pool: Any, tokens: Tensor) -> Tensor:
    """EP: keys are the tokens; query j pools block j of one value map."""
    scores = tokens @ pool.queries.T / tokens.shape[-1] ** 0.5
    attention = scores.softmax(1)  # (b, n, q)
    values = pool.value(tokens).unflatten(-1, (len(pool.queries), -1))  # (b, n, q, o/q)
    return (attention.unsqueeze(-1) * values).sum(1).flatten(1)


def batched_ep(pool: Any, tokens: Tensor) -> Tensor:
    """EP's literal form with one batched product, the fastest way to write it."""
    attention = (tokens @ pool.queries.T * pool.scale).softmax(1)
    values = pool.value(tokens).unflatten(-1, (len(pool.queries), -1))
    return torch.einsum("bnq,bnqm->bqm", attention, values).flatten(1)


def abmilp(pool: Any, tokens: Tensor) -> Tensor:
    """ABMILP: self-attention with one head, then a score a token."""
    scored = tokens
    if pool.mode != "none":
        scored = pool.out(self_attend(pool.qkv(tokens), 1))
    weights = pool.score(scored).softmax(1)
    return (weights * (scored if pool.mode == "both" else tokens)).sum(1)


def simpool(pool: Any, tokens: Tensor) -> Tensor:
    """SimPool: the mean asks the normalised tokens."""
    normed = pool.norm(tokens)
    query = pool.to_query(tokens.mean(1, keepdim=True))
    return attend(query, pool.to_key(normed), normed, 1)[:, 0]


def esimpool(pool: Any, tokens: Tensor) -> Tensor:
    """Efficient SimPool: heads in place of projections."""
    query = pool.norm(tokens.mean(1, keepdim=True))
    return attend(query, pool.norm(tokens), tokens, pool.num_heads)[:, 0]


def clip(pool: Any, tokens: Tensor) -> Tensor:
    """CLIP: self-attention of the mean and the tokens; its first row is read."""
    normed = pool.norm(tokens)
    rows = torch.cat([normed.mean(1, keepdim=True), normed], dim=1) + pool.positions
    return pool.out(self_attend(pool.qkv(rows), pool.num_heads))[:, 0]


def siglip(pool: Any, tokens: Tensor) -> Tensor:
    """SigLIP: latent query, then an MLP."""
    z = cross_attend(pool, pool.to_query(query_of(pool.latent, tokens)), tokens)
    return z + pool.mlp(z)


def mhca(pool: Any, tokens: Tensor) -> Tensor:
    """Plain multi-head cross-attention."""
    return cross_attend(pool, pool.to_query(query_of(pool.query, tokens)), tokens)


def cross_attend(pool: Any, query: Tensor, tokens: Tensor) -> Tensor:
    """Attend to tokens with keys and values of one map, and project out."""
    keys, values = pool.to_key_value(tokens).chunk(2, -1)
    return pool.out(attend(query, keys, values, pool.num_heads))[:, 0]


def aim(pool: Any, tokens: Tensor) -> Tensor:
    """AIM: batch-normalised tokens, learned query."""
    normed = batch_norm(pool.norm, tokens.transpose(1, 2)).transpose(1, 2)
    query = query_of(pool.query, tokens)
    return attend(query, pool.to_key(normed), pool.to_value(normed), pool.num_heads)[:, 0]


def cbam(pool: Any, tokens: Tensor) -> Tensor:
    """CBAM: channel gate, spatial gate, residual."""
    maps = tokens.transpose(1, 2).unflatten(2, pool.grid)  # (b, d, gh, gw)
    gate = pool.channel_gate(maps.mean((2, 3))) + pool.channel_gate(maps.amax((2, 3)))
    gated = maps * gate.sigmoid()[:, :, None, None]
    planes = torch.cat([gated.mean(1, keepdim=True), gated.amax(1, keepdim=True)], dim=1)
    places = batch_norm(pool.norm, F.conv2d(planes, pool.conv.weight, padding=3)).sigmoid()
    return (gated * places + maps).relu().mean((2, 3))


def coca(pool: Any, tokens: Tensor) -> Tensor:
    """CoCa: all 196 queries attend, the first is read."""
    queries = pool.to_query(pool.norm(pool.queries)).expand(len(tokens), -1, -1)
    keys, values = pool.to_key_value(tokens).chunk(2, -1)
    heads = queries.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)  # (b, h, 196, 64)
    scores = heads / 8 @ keys.unsqueeze(1).transpose(2, 3)
    pooled = scores.softmax(-1) @ values.unsqueeze(1)
    return pool.out(pooled.transpose(1, 2).flatten(2))[:, 0]


def cait(pool: Any, tokens: Tensor) -> Tensor:
    """CaiT: class attention, MLP, layer scales, last norm."""
    cls = query_of(pool.cls_token, tokens)
    rows = pool.norm(torch.cat([cls, tokens], dim=1))
    query, keys, values = pool.to_query(rows[:, :1]), pool.to_key(rows), pool.to_value(rows)
    attended = pool.out(attend(query, keys, values, pool.num_heads))
    cls = cls + pool.attention_scale * attended
    cls = cls + pool.mlp_scale * pool.mlp(pool.mlp_norm(cls))
    return pool.last_norm(cls)[:, 0]


def cae(pool: Any, tokens: Tensor) -> Tensor:
    """CAE: learned query, a norm each for query, keys and values."""
    query = pool.to_query(pool.query_norm(query_of(pool.query, tokens)))
    keys, values = pool.to_key(pool.key_norm(tokens)), pool.to_value(pool.value_norm(tokens))
    return pool.out(attend(query, keys, values, pool.num_heads))[:, 0]


def dinovit(pool: Any, tokens: Tensor) -> Tensor:
    """DINO: the mean of a whole transformer block."""
    queries, keys, values = pool.qkv(pool.norm(tokens)).chunk(3, -1)
    z = tokens + pool.out(attend(queries, keys, values, pool.num_heads))
    return (z + pool.mlp(pool.mlp_norm(z))).mean(1)


def jepa(pool: Any, tokens: Tensor) -> Tensor:
    """V-JEPA: cross-attention block with residuals."""
    query = pool.to_query(query_of(pool.query, tokens))
    z = pool.query + cross_attend(pool, query, pool.norm(tokens))
    return z + pool.mlp(pool.mlp_norm(z))


def dolg(pool: Any, tokens: Tensor) -> Tensor:
    """DOLG: unit tokens weighted by a softplus score."""
    u = batch_norm(pool.norm, pool.map(tokens).transpose(1, 2)).transpose(1, 2)
    return (F.softplus(pool.score(F.relu(u))) * F.normalize(u, dim=-1)).mean(1)


LITERAL: Mapping[str, Literal] = {
    "ep": ep,
    "abmilp": abmilp,
    "simpool": simpool,
    "esimpool": esimpool,
    "clip": clip,
    "siglip": siglip,
    "aim": aim,
    "cbam": cbam,
    "coca": coca,
    "cait": cait,
    "cae": cae,
    "dinovit": dinovit,
    "jepa": jepa,
    "dolg": dolg,
    "mhca": mhca,
}

CAE_UNUSED = 2  # norms of width d that CAE's authors build and nothing reads; ours has none
PARAMETERS: Mapping[str, tuple[int, int]] = {  # of each pooling at d = 768 and 1024, as published
    "esimpool": (1_536, 2_048),
    "cbam": (73_828, 131_172),
    "dolg": (592_897, 1_052_673),
    "ep": (614_400, 1_081_344),
    "coca": (1_036_032, 1_381_376),
    "aim": (1_180_416, 2_098_176),
    "simpool": (1_181_184, 2_099_200),
    "cae": (2_366_976 - CAE_UNUSED * 768, 4_204_544 - CAE_UNUSED * 1024),
    "clip": (2_515_200, 4_402_176),
    "abmilp": (2_951_425, 5_245_953),
    "siglip": (7_085_568, 12_593_152),
    "dinovit": (7_085_568, 12_593_152),
    "jepa": (7_088_640, 12_597_248),
    "cait": (7_091_712, 12_601_344),
    # No published count: four maps with biases, one query.
    "mhca": (4 * 768**2 + 5 * 768, 4 * 1024**2 + 5 * 1024),
}
