"""What layers keep, by what a header says of them."""

from __future__ import annotations

from mai_backends.gguf.layers import KNOWN, Layers, layers_of
from mai_backends.gguf.types import Value


def layers(name: str, count: int = 8, **told: Value) -> Layers:
    """Of 32 heads with 8 of keys, 64 wide, unless ``told`` otherwise; its names have ``__`` for dots."""
    metadata: dict[str, Value] = {
        "block_count": count,
        "embedding_length": 2048,
        "attention.head_count": 32,
        "attention.head_count_kv": 8,
    }
    metadata |= {key.replace("__", "."): value for key, value in told.items()}
    return layers_of({"general.architecture": name} | {f"{name}.{key}": one for key, one in metadata.items()})


def kept(found: Layers) -> list[tuple[int, int, int]]:
    """Width, window and state of each layer, in order."""
    groups = [(group.width, group.window, group.state) for group in found.groups]
    assert [group.count for group in found.groups] == [found.order.count(index) for index in range(len(groups))]
    return [groups[index] for index in found.order]


FULL = (2 * 8 * 64, 0, 0)
NOTHING = (0, 0, 0)


def test_layers_that_foretell_or_share_keep_nothing() -> None:
    assert kept(layers("glm4moe", nextn_predict_layers=1)) == [FULL] * 7 + [NOTHING]
    assert kept(layers("gemma4", attention__shared_kv_layers=3)) == [FULL] * 5 + [NOTHING] * 3
    assert kept(layers("gemma3n", 30, attention__sliding_window=0)) == [FULL] * 20 + [NOTHING] * 10


def test_the_engine_ignores_the_window_of_some() -> None:
    for name in ("llama", "phi3", "qwen2"):
        assert kept(layers(name, attention__sliding_window=4096)) == [FULL] * 8


def test_windows_come_by_rule_by_period_or_by_list() -> None:
    window = (FULL[0], 512, 0)
    assert kept(layers("cohere2", attention__sliding_window=512)) == [window, window, window, FULL] * 2
    told = layers("gemma3", attention__sliding_window=512, attention__sliding_window_pattern=2)
    assert kept(told) == [window, FULL] * 4
    listed = (True, False, False, True, True, True, False, True)
    told = layers("gpt-oss", attention__sliding_window=512, attention__sliding_window_pattern=listed)
    assert kept(told) == [window if sliding else FULL for sliding in listed]
    first = layers("smallthinker", attention__sliding_window=512)
    assert kept(first) == [FULL, *[(FULL[0], 4096, 0)] * 3] * 2
    assert kept(layers("llama4"))[:4] == [(FULL[0], 8192, 0)] * 3 + [FULL]
    assert kept(layers("llama4", attention__sliding_window=0)) == [FULL] * 8


def test_layers_with_a_window_may_have_heads_of_another_width() -> None:
    told = layers(
        "gemma4",
        2,
        attention__sliding_window=512,
        attention__sliding_window_pattern=(True, False),
        attention__key_length=512,
        attention__value_length=512,
        attention__key_length_swa=256,
        attention__value_length_swa=256,
    )
    assert kept(told) == [(8 * 512, 512, 0), (8 * 1024, 0, 0)]


def test_latent_attention_keeps_one_key_for_all_heads_and_no_value() -> None:
    told = {"attention__head_count_kv": 1, "attention__key_length": 576, "attention__value_length": 512}
    assert kept(layers("deepseek2", **told, attention__key_length_mla=192)) == [(576, 0, 0)] * 8
    assert kept(layers("deepseek2", **told)) == [(576 + 512, 0, 0)] * 8


def test_recurrent_layers_keep_a_state_of_one_size() -> None:
    mamba = layers("mamba", attention__head_count=0, ssm__conv_kernel=4, ssm__inner_size=4096, ssm__state_size=16)
    assert kept(mamba) == [(0, 0, 4 * (3 * 4096 + 16 * 4096))] * 8
    rwkv = layers("rwkv7", attention__head_count=0, wkv__head_size=64)
    assert kept(rwkv) == [(0, 0, 4 * 2048 * (2 + 64))] * 8
    ssm = {"ssm__conv_kernel": 4, "ssm__inner_size": 4096, "ssm__state_size": 128, "ssm__group_count": 16}
    state = 4 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096)
    assert kept(layers("qwen3next", **ssm)) == [(0, 0, state)] * 3 + [FULL] + [(0, 0, state)] * 3 + [FULL]
    heads = (0, 0, 8, 0, 0, 0, 8, 0)
    assert kept(layers("jamba", **{**ssm, "attention__head_count_kv": heads})) == [
        FULL if one else (0, 0, state) for one in heads
    ]
    plain = {"attention__head_count_kv": heads, "feed_forward_length": (0, 99, 0, 0, 99, 0, 0, 0)}
    assert kept(layers("nemotron_h", **{**ssm, **plain})) == [
        FULL if head else NOTHING if layer in (1, 4) else (0, 0, state) for layer, head in enumerate(heads)
    ]
    assert kept(layers("falcon-h1", **ssm)) == [(FULL[0], 0, state)] * 8


def test_of_a_kind_nobody_described_every_layer_keeps_all_there_could_be() -> None:
    told = {"attention__sliding_window": 512, "ssm__conv_kernel": 2, "ssm__inner_size": 64, "ssm__state_size": 16}
    assert kept(layers("brand-new", **told)) == [(FULL[0], 0, 4 * (64 + 16 * 64))] * 8
    assert "brand-new" not in KNOWN
