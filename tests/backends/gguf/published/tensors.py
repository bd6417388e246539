"""The tensor tables of published models, from the few numbers of their configurations.

Names and shapes are those of llama.cpp's converter and loader (gguf-py/gguf/constants.py and tensor_mapping.py,
src/llama-model.cpp, at https://github.com/ggml-org/llama.cpp): the length of a row first, as in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Row = tuple[str, tuple[int, ...], str]


@dataclass(frozen=True, kw_only=True)
class Config:
    """``kind`` is the type of matrices. ``heads`` are those of queries; ``attentive`` the layers with attention."""

    layers: int
    width: int
    vocabulary: int
    feed: int = 0
    heads: int = 0
    kv_heads: int = 0
    head: int = 0
    tied: bool = False
    kind: str = "BF16"
    biased: tuple[str, ...] = ()
    experts: int = 0
    expert_feed: int = 0
    shared_feed: int = 0
    dense_first: int = 0
    inner: int = 0
    state: int = 0
    steps: int = 0
    query_rank: int = 0
    kv_rank: int = 64
    attentive: frozenset[int] = field(default_factory=frozenset)

    @property
    def of_head(self) -> int:
        return self.head or self.width // self.heads


class Table:
    """Rows as they are added. Matrices take the file's type, what has one dimension F32."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.rows: list[Row] = []

    def matrix(self, name: str, *shape: int, kind: str = "") -> None:
        self.rows.append((f"{name}.weight", shape, kind or self._kind))

    def plain(self, name: str, *shape: int) -> None:
        self.rows.append((name, shape, "F32"))

    def norm(self, name: str, width: int, *, biased: bool = False) -> None:
        self.plain(f"{name}.weight", width)
        if biased:
            self.plain(f"{name}.bias", width)


Layer = Callable[[Table, Config, int], None]


def table(config: Config, layer: Layer) -> list[Row]:
    """The whole table of a model whose layers ``layer`` writes."""
    made = Table(config.kind)
    normed = "norms" in config.biased
    made.matrix("token_embd", config.width, config.vocabulary)
    made.norm("output_norm", config.width, biased=normed)
    if not config.tied:
        made.matrix("output", config.width, config.vocabulary)
        if "output" in config.biased:
            made.plain("output.bias", config.vocabulary)
    for index in range(config.layers):
        layer(made, config, index)
    return made.rows


def attention(made: Table, config: Config, index: int, *, norms: bool = False) -> None:
    """Separate queries, keys and values; ``norms`` over each head of queries and keys."""
    queries, keys = config.heads * config.of_head, config.kv_heads * config.of_head
    for name, width in (("q", queries), ("k", keys), ("v", keys)):
        made.matrix(f"blk.{index}.attn_{name}", config.width, width)
        if "qkv" in config.biased:
            made.plain(f"blk.{index}.attn_{name}.bias", width)
    made.matrix(f"blk.{index}.attn_output", queries, config.width)
    if "attention" in config.biased:
        made.plain(f"blk.{index}.attn_output.bias", config.width)
    if norms:
        made.norm(f"blk.{index}.attn_q_norm", config.of_head)
        made.norm(f"blk.{index}.attn_k_norm", config.of_head)


def gated(made: Table, width: int, feed: int, index: int, suffix: str = "") -> None:
    made.matrix(f"blk.{index}.ffn_gate{suffix}", width, feed)
    made.matrix(f"blk.{index}.ffn_up{suffix}", width, feed)
    made.matrix(f"blk.{index}.ffn_down{suffix}", feed, width)


def experts(made: Table, config: Config, index: int, *, kind: str = "") -> None:
    width, feed, count = config.width, config.expert_feed, config.experts
    made.plain(f"blk.{index}.ffn_gate_inp.weight", width, count)
    made.matrix(f"blk.{index}.ffn_gate_exps", width, feed, count, kind=kind)
    made.matrix(f"blk.{index}.ffn_up_exps", width, feed, count, kind=kind)
    made.matrix(f"blk.{index}.ffn_down_exps", feed, width, count, kind=kind)
    if config.shared_feed:
        gated(made, width, config.shared_feed, index, "_shexp")


def llama(made: Table, config: Config, index: int, *, norms: bool = False) -> None:
    """Llama and those like it: Mistral, Qwen 2.5 (with biases), SmolLM 3."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index, norms=norms)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    if config.experts:
        experts(made, config, index)
    else:
        gated(made, config.width, config.feed, index)


def qwen3(made: Table, config: Config, index: int) -> None:
    llama(made, config, index, norms=True)


def mixtral(made: Table, config: Config, index: int) -> None:
    """As it was first converted: each expert's matrices by themselves."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    made.plain(f"blk.{index}.ffn_gate_inp.weight", config.width, config.experts)
    for expert in range(config.experts):
        gated(made, config.width, config.expert_feed, index, f".{expert}")


def gemma2(made: Table, config: Config, index: int, *, norms: bool = False) -> None:
    llama(made, config, index, norms=norms)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    made.norm(f"blk.{index}.post_ffw_norm", config.width)


def gemma3(made: Table, config: Config, index: int) -> None:
    gemma2(made, config, index, norms=True)


def gpt_oss(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index)
    made.norm(f"blk.{index}.attn_sinks", config.heads)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    experts(made, config, index, kind="MXFP4")
    made.plain(f"blk.{index}.ffn_gate_inp.bias", config.experts)
    made.plain(f"blk.{index}.ffn_gate_exps.bias", config.expert_feed, config.experts)
    made.plain(f"blk.{index}.ffn_up_exps.bias", config.expert_feed, config.experts)
    made.plain(f"blk.{index}.ffn_down_exps.bias", config.width, config.experts)


def fused_attention(made: Table, config: Config, index: int) -> None:
    queries, keys = config.heads * config.of_head, config.kv_heads * config.of_head
    made.matrix(f"blk.{index}.attn_qkv", config.width, queries + 2 * keys)
    if "qkv" in config.biased:
        made.plain(f"blk.{index}.attn_qkv.bias", queries + 2 * keys)
    made.matrix(f"blk.{index}.attn_output", queries, config.width)
    if "attention" in config.biased:
        made.plain(f"blk.{index}.attn_output.bias", config.width)


def ungated(made: Table, config: Config, index: int) -> None:
    made.matrix(f"blk.{index}.ffn_up", config.width, config.feed)
    made.matrix(f"blk.{index}.ffn_down", config.feed, config.width)
    if "feed" in config.biased:
        made.plain(f"blk.{index}.ffn_up.bias", config.feed)
        made.plain(f"blk.{index}.ffn_down.bias", config.width)


def phi3(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    fused_attention(made, config, index)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    made.matrix(f"blk.{index}.ffn_up", config.width, 2 * config.feed)
    made.matrix(f"blk.{index}.ffn_down", config.feed, config.width)


def parallel(made: Table, config: Config, index: int) -> None:
    """Attention and feed-forward beside each other, after one norm: Phi 2 and Falcon."""
    made.norm(f"blk.{index}.attn_norm", config.width, biased=True)
    fused_attention(made, config, index)
    ungated(made, config, index)


def command_r(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index)
    gated(made, config.width, config.feed, index)


def starcoder2(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width, biased=True)
    attention(made, config, index)
    made.norm(f"blk.{index}.ffn_norm", config.width, biased=True)
    ungated(made, config, index)


def olmo2(made: Table, config: Config, index: int) -> None:
    """Norms after, not before; those of queries and keys over all heads at once."""
    attention(made, config, index)
    made.norm(f"blk.{index}.attn_q_norm", config.heads * config.of_head)
    made.norm(f"blk.{index}.attn_k_norm", config.kv_heads * config.of_head)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    gated(made, config.width, config.feed, index)
    made.norm(f"blk.{index}.post_ffw_norm", config.width)


def glm4(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    made.matrix(f"blk.{index}.ffn_up", config.width, 2 * config.feed)
    made.matrix(f"blk.{index}.ffn_down", config.feed, config.width)
    made.norm(f"blk.{index}.post_ffw_norm", config.width)


def glm4moe(made: Table, config: Config, index: int) -> None:
    """The last layer foretells tokens: it is in the file, and no engine reads it for chat."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    attention(made, config, index)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    if index < config.dense_first:
        gated(made, config.width, config.feed, index)
    else:
        experts(made, config, index)
        made.plain(f"blk.{index}.exp_probs_b.bias", config.experts)
    if index == config.layers - 1:
        made.matrix(f"blk.{index}.nextn.eh_proj", 2 * config.width, config.width)
        made.matrix(f"blk.{index}.nextn.embed_tokens", config.width, config.vocabulary)
        made.matrix(f"blk.{index}.nextn.shared_head_head", config.width, config.vocabulary)
        for name in ("enorm", "hnorm", "shared_head_norm"):
            made.norm(f"blk.{index}.nextn.{name}", config.width)


def deepseek2(made: Table, config: Config, index: int) -> None:
    """Keys and values out of one compressed state: 128 elements a head without, 64 with rotation, values of 128."""
    plain, turned, value = 128, 64, 128
    made.norm(f"blk.{index}.attn_norm", config.width)
    if config.query_rank:
        made.matrix(f"blk.{index}.attn_q_a", config.width, config.query_rank)
        made.norm(f"blk.{index}.attn_q_a_norm", config.query_rank)
        made.matrix(f"blk.{index}.attn_q_b", config.query_rank, config.heads * (plain + turned))
    else:
        made.matrix(f"blk.{index}.attn_q", config.width, config.heads * (plain + turned))
    made.matrix(f"blk.{index}.attn_kv_a_mqa", config.width, config.kv_rank + turned)
    made.norm(f"blk.{index}.attn_kv_a_norm", config.kv_rank)
    made.matrix(f"blk.{index}.attn_k_b", plain, config.kv_rank, config.heads)
    made.matrix(f"blk.{index}.attn_v_b", config.kv_rank, value, config.heads)
    made.matrix(f"blk.{index}.attn_output", config.heads * value, config.width)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    if index < config.dense_first:
        gated(made, config.width, config.feed, index)
    else:
        experts(made, config, index)
        if "router" in config.biased:
            made.plain(f"blk.{index}.exp_probs_b.bias", config.experts)


def mamba_block(made: Table, config: Config, index: int) -> None:
    inner, state, steps = config.inner, config.state, config.steps
    made.matrix(f"blk.{index}.ssm_in", config.width, 2 * inner)
    made.plain(f"blk.{index}.ssm_conv1d.weight", 4, inner)
    made.plain(f"blk.{index}.ssm_conv1d.bias", inner)
    made.matrix(f"blk.{index}.ssm_x", inner, steps + 2 * state)
    made.matrix(f"blk.{index}.ssm_dt", steps, inner)
    made.plain(f"blk.{index}.ssm_dt.bias", inner)
    made.plain(f"blk.{index}.ssm_a", state, inner)
    made.plain(f"blk.{index}.ssm_d", inner)
    made.matrix(f"blk.{index}.ssm_out", inner, config.width)


def mamba(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    mamba_block(made, config, index)


def jamba(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    if index in config.attentive:
        attention(made, config, index)
    else:
        mamba_block(made, config, index)
        for name, width in (("dt", config.steps), ("b", config.state), ("c", config.state)):
            made.norm(f"blk.{index}.ssm_{name}_norm", width)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    if index % 2:
        experts(made, config, index)
    else:
        gated(made, config.width, config.feed, index)


def granite_hybrid(made: Table, config: Config, index: int) -> None:
    """Mamba 2 with one group, and heads of 64."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    if index in config.attentive:
        attention(made, config, index)
    else:
        inner, heads = config.inner, config.inner // 64
        mixed = inner + 2 * config.state
        made.matrix(f"blk.{index}.ssm_in", config.width, inner + mixed + heads)
        made.plain(f"blk.{index}.ssm_conv1d.weight", 4, mixed)
        made.plain(f"blk.{index}.ssm_conv1d.bias", mixed)
        made.plain(f"blk.{index}.ssm_dt.bias", heads)
        made.plain(f"blk.{index}.ssm_a", 1, heads)
        made.plain(f"blk.{index}.ssm_d", 1, heads)
        made.plain(f"blk.{index}.ssm_norm.weight", inner, 1)
        made.matrix(f"blk.{index}.ssm_out", inner, config.width)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    experts(made, config, index)


def gated_attention(made: Table, config: Config, index: int) -> None:
    """Each query with a gate."""
    queries, keys = config.heads * config.of_head, config.kv_heads * config.of_head
    made.matrix(f"blk.{index}.attn_q", config.width, 2 * queries)
    made.matrix(f"blk.{index}.attn_k", config.width, keys)
    made.matrix(f"blk.{index}.attn_v", config.width, keys)
    made.matrix(f"blk.{index}.attn_output", queries, config.width)
    made.norm(f"blk.{index}.attn_q_norm", config.of_head)
    made.norm(f"blk.{index}.attn_k_norm", config.of_head)


def delta_net(made: Table, config: Config, index: int, *, fused: bool) -> None:
    """A gated delta net of 16 groups, its projections in two matrices or in four."""
    mixed = config.inner + 2 * 16 * config.state
    if fused:
        made.matrix(f"blk.{index}.ssm_in", config.width, mixed + config.inner)
        made.matrix(f"blk.{index}.ssm_ba", config.width, 2 * config.steps)
    else:
        made.matrix(f"blk.{index}.attn_qkv", config.width, mixed)
        made.matrix(f"blk.{index}.attn_gate", config.width, config.inner)
        made.matrix(f"blk.{index}.ssm_beta", config.width, config.steps)
        made.matrix(f"blk.{index}.ssm_alpha", config.width, config.steps)
    made.plain(f"blk.{index}.ssm_conv1d.weight", 4, mixed)
    made.plain(f"blk.{index}.ssm_dt.bias", config.steps)
    made.plain(f"blk.{index}.ssm_a", config.steps)
    made.norm(f"blk.{index}.ssm_norm", config.state)
    made.matrix(f"blk.{index}.ssm_out", config.inner, config.width)


def qwen3next(made: Table, config: Config, index: int) -> None:
    """Every fourth layer attends."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    if (index + 1) % 4 == 0:
        gated_attention(made, config, index)
    else:
        delta_net(made, config, index, fused=True)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    experts(made, config, index)
    made.plain(f"blk.{index}.ffn_gate_inp_shexp.weight", config.width)


def qwen35(made: Table, config: Config, index: int) -> None:
    made.norm(f"blk.{index}.attn_norm", config.width)
    if (index + 1) % 4 == 0:
        gated_attention(made, config, index)
    else:
        delta_net(made, config, index, fused=False)
    made.norm(f"blk.{index}.post_attention_norm", config.width)
    gated(made, config.width, config.feed, index)


def lfm2(made: Table, config: Config, index: int) -> None:
    """Short convolutions over three tokens, and some attention between them."""
    made.norm(f"blk.{index}.attn_norm", config.width)
    if index in config.attentive:
        attention(made, config, index, norms=True)
    else:
        made.plain(f"blk.{index}.shortconv.conv.weight", 3, config.width)
        made.matrix(f"blk.{index}.shortconv.in_proj", config.width, 3 * config.width)
        made.matrix(f"blk.{index}.shortconv.out_proj", config.width, config.width)
    made.norm(f"blk.{index}.ffn_norm", config.width)
    gated(made, config.width, config.feed, index)


def _rwkv_norms(made: Table, config: Config, index: int) -> None:
    if index == 0:
        made.norm("token_embd_norm", config.width, biased=True)
    made.norm(f"blk.{index}.attn_norm", config.width, biased=True)
    made.norm(f"blk.{index}.attn_norm_2", config.width, biased=True)
    made.norm(f"blk.{index}.time_mix_ln", config.width, biased=True)


def rwkv6(made: Table, config: Config, index: int) -> None:
    """``steps`` is the rank of what mixes a token with the one before, ``state`` that of the decay. As first converted:
    what mixes them in five rows by themselves."""
    width, at = config.width, f"blk.{index}"
    _rwkv_norms(made, config, index)
    made.matrix(f"{at}.time_mix_w1", width, 5 * config.steps)
    made.matrix(f"{at}.time_mix_w2", config.steps, width, 5)
    for name in "xwkvrg":
        made.plain(f"{at}.time_mix_lerp_{name}.weight", width, 1, 1)
    made.plain(f"{at}.time_mix_first.weight", 64, width // 64)
    made.plain(f"{at}.time_mix_decay.weight", width)
    made.matrix(f"{at}.time_mix_decay_w1", width, config.state)
    made.matrix(f"{at}.time_mix_decay_w2", config.state, width)
    for name in ("key", "value", "receptance", "gate", "output"):
        made.matrix(f"{at}.time_mix_{name}", width, width)
    for name in "kr":
        made.plain(f"{at}.channel_mix_lerp_{name}.weight", width, 1, 1)
    made.matrix(f"{at}.channel_mix_key", width, config.feed)
    made.matrix(f"{at}.channel_mix_value", config.feed, width)
    made.matrix(f"{at}.channel_mix_receptance", width, width)


def rwkv7(made: Table, config: Config, index: int) -> None:
    """Four pairs of narrow matrices: decay and learning rate of rank ``steps``, value of ``state``, gate of
    ``query_rank``. The first layer's value has the learning rate's rank and is not used."""
    width, at = config.width, f"blk.{index}"
    _rwkv_norms(made, config, index)
    ranks = {"w": config.steps, "a": config.steps, "v": config.state if index else config.steps}
    for name, rank in ranks.items():
        made.plain(f"{at}.time_mix_{name}0.weight", width)
        made.matrix(f"{at}.time_mix_{name}1", width, rank)
        made.matrix(f"{at}.time_mix_{name}2", rank, width)
    made.matrix(f"{at}.time_mix_g1", width, config.query_rank)
    made.matrix(f"{at}.time_mix_g2", config.query_rank, width)
    made.plain(f"{at}.time_mix_lerp_fused.weight", width, 1, 1, 6)
    for name in ("k_k", "k_a", "r_k"):
        made.plain(f"{at}.time_mix_{name}.weight", width)
    for name in ("key", "value", "receptance", "output"):
        made.matrix(f"{at}.time_mix_{name}", width, width)
    made.plain(f"{at}.channel_mix_lerp_k.weight", width, 1, 1)
    made.matrix(f"{at}.channel_mix_key", width, config.feed)
    made.matrix(f"{at}.channel_mix_value", config.feed, width)
