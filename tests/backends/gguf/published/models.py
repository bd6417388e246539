"""Published models: their configurations, and figures that others printed about them.

Every configuration is that of the model's own repository on the Hugging Face hub. Figures were printed by an engine
that loaded the model, or by whoever published it; where, stands beside each. Where a figure was met in several public
places, the text by which it is found stands there instead of an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.backends.gguf.published import tensors
from tests.backends.gguf.published.tensors import Config, Layer

_MIB = 1 << 20
_LLAMA_CPP = "https://github.com/ggml-org/llama.cpp"


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What one conversation keeps, of ``context`` tokens, as an engine said: ``mib``, right to ``digit`` of a MiB."""

    context: int
    mib: float
    source: str
    digit: float = 0.005
    kv_type: str = "f16"
    batch: int = 512


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Bytes of all tensors of a file of one ``kind``, right to ``digit`` bytes; ``kinds`` are those of single ones."""

    kind: str
    size: float
    source: str
    digit: float = 0.0
    kinds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model: ``extra`` is metadata its configuration does not give, the architecture's name left out of the keys.

    ``parameters`` are right to ``digit``, and ``tensors`` how many a file has, 0 where nobody said.
    """

    architecture: str
    config: Config
    layer: Layer
    context: int
    parameters: float
    source: str
    digit: float = 0.0
    tensors: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)
    tokenizer: str = "gpt2"
    figures: tuple[Cache | Weights, ...] = ()


def _hub(repository: str) -> str:
    return f"https://huggingface.co/{repository} (safetensors: total parameters)"


_UNSLOTH = "model cards by GET /v1/models of llama-server: n_params and size of unsloth's GGUF files"
_TABLE = "https://github.com/huggingface/blog/issues/2345 (KV cache size in FP16)"
_WINDOWS = "https://github.com/unslothai/unsloth/pull/5225 (measured with llama-server)"

PUBLISHED: Mapping[str, Published] = {
    "llama-3.1-8b": Published(
        architecture="llama",
        config=Config(layers=32, width=4096, feed=14336, vocabulary=128256, heads=32, kv_heads=8),
        layer=tensors.llama,
        context=131072,
        parameters=8030261248,
        tensors=291,
        source=_hub("meta-llama/Llama-3.1-8B-Instruct"),
        figures=(
            Cache(context=128_000, mib=15.62 * 1024, digit=0.01 * 1024, source=_TABLE),
            Cache(
                context=4096,
                mib=512.0,
                source="load log: 'llama_kv_cache_unified: size =  512.00 MiB (  4096 cells,  32 layers,  1 seqs)'",
            ),
            Weights(
                kind="Q8_0",
                size=8137.64 * _MIB,
                digit=0.005 * _MIB,
                source="the same log: 'load_tensors:   CPU_Mapped model buffer size =  8137.64 MiB'",
            ),
        ),
    ),
    "llama-3.1-70b": Published(
        architecture="llama",
        config=Config(layers=80, width=8192, feed=28672, vocabulary=128256, heads=64, kv_heads=8),
        layer=tensors.llama,
        context=131072,
        parameters=70553706496,
        source=_hub("meta-llama/Llama-3.1-70B-Instruct"),
        figures=(
            Cache(context=128_000, mib=39.06 * 1024, digit=0.01 * 1024, source=_TABLE),
            Weights(
                kind="Q4_0",
                kinds={"output.weight": "Q6_K"},
                size=37.22 * 1024 * _MIB,
                digit=0.005 * 1024 * _MIB,
                source="https://github.com/ollama/ollama/pull/6279 (model size = 37.22 GiB, params = 70.55 B)",
            ),
        ),
    ),
    "mistral-7b-v0.1": Published(
        # Its window of 4096 tokens is not converted: llama.cpp keeps everything.
        architecture="llama",
        config=Config(layers=32, width=4096, feed=14336, vocabulary=32000, heads=32, kv_heads=8),
        layer=tensors.llama,
        context=32768,
        parameters=7241732096,
        tensors=291,
        tokenizer="llama",
        source=_hub("mistralai/Mistral-7B-v0.1"),
    ),
    "mixtral-8x7b": Published(
        architecture="llama",
        config=Config(
            layers=32, width=4096, feed=14336, experts=8, expert_feed=14336, vocabulary=32000, heads=32, kv_heads=8
        ),
        layer=tensors.mixtral,
        context=32768,
        parameters=46702792704,
        # https://github.com/abetlen/llama-cpp-python/issues/1226
        tensors=995,
        extra={"expert_used_count": 2},
        tokenizer="llama",
        source=_hub("mistralai/Mixtral-8x7B-Instruct-v0.1"),
    ),
    "qwen2.5-1.5b": Published(
        architecture="qwen2",
        config=Config(
            layers=28, width=1536, feed=8960, vocabulary=151936, heads=12, kv_heads=2, tied=True, biased=("qkv",)
        ),
        layer=tensors.llama,
        context=32768,
        parameters=1543714304,
        tensors=338,
        source=_hub("Qwen/Qwen2.5-1.5B-Instruct"),
        figures=tuple(
            Cache(
                context=context,
                mib=mib,
                source="https://github.com/GeniePod/genie-claw/issues/410 (Qwen 112 to 896 MiB, 4k to 32k)",
            )
            for context, mib in ((4096, 112.0), (32768, 896.0))
        ),
    ),
    "qwen2.5-3b": Published(
        architecture="qwen2",
        config=Config(
            layers=36, width=2048, feed=11008, vocabulary=151936, heads=16, kv_heads=2, tied=True, biased=("qkv",)
        ),
        layer=tensors.llama,
        context=32768,
        parameters=3085938688,
        tensors=434,
        source=_hub("Qwen/Qwen2.5-3B-Instruct"),
        figures=(
            Cache(
                context=4096,
                mib=144.0,
                source="https://github.com/SciSharp/LLamaSharp/issues/1099 (434 tensors; KV self size = 144.00 MiB)",
            ),
        ),
    ),
    "qwen2.5-7b": Published(
        architecture="qwen2",
        config=Config(layers=28, width=3584, feed=18944, vocabulary=152064, heads=28, kv_heads=4, biased=("qkv",)),
        layer=tensors.llama,
        context=32768,
        parameters=7615616512,
        tensors=339,
        source=_hub("Qwen/Qwen2.5-7B-Instruct"),
        figures=(
            Cache(
                context=2048,
                mib=112.0,
                source="https://github.com/JamePeng/llama-cpp-python/pull/1 (KV self size = 112.00 MiB)",
            ),
        ),
    ),
    "qwen2.5-coder-32b": Published(
        architecture="qwen2",
        config=Config(layers=64, width=5120, feed=27648, vocabulary=152064, heads=40, kv_heads=8, biased=("qkv",)),
        layer=tensors.llama,
        context=32768,
        parameters=32763876352,
        tensors=771,
        source=_hub("Qwen/Qwen2.5-Coder-32B-Instruct"),
        figures=(Cache(context=32768, mib=4352.0, kv_type="q8_0", source=f"{_LLAMA_CPP}/issues/11200"),),
    ),
    "qwen3-30b-a3b": Published(
        architecture="qwen3moe",
        config=Config(
            layers=48,
            width=2048,
            feed=6144,
            experts=128,
            expert_feed=768,
            vocabulary=151936,
            heads=32,
            kv_heads=4,
            head=128,
        ),
        layer=tensors.qwen3,
        context=40960,
        parameters=30532122624,
        tensors=579,
        extra={"expert_used_count": 8},
        source=_hub("Qwen/Qwen3-30B-A3B"),
        figures=(Weights(kind="BF16", size=61089832960, source=_UNSLOTH),),
    ),
    "qwen3-32b": Published(
        architecture="qwen3",
        config=Config(layers=64, width=5120, feed=25600, vocabulary=151936, heads=64, kv_heads=8, head=128),
        layer=tensors.qwen3,
        context=40960,
        parameters=32762123264,
        # https://github.com/ollama/ollama/issues/14774
        tensors=707,
        source=_hub("Qwen/Qwen3-32B"),
    ),
    "qwen3-next-80b-a3b": Published(
        architecture="qwen3next",
        config=Config(
            layers=48,
            width=2048,
            feed=5120,
            experts=512,
            expert_feed=512,
            shared_feed=512,
            vocabulary=151936,
            heads=16,
            kv_heads=2,
            head=256,
            inner=4096,
            state=128,
            steps=32,
        ),
        layer=tensors.qwen3next,
        context=262144,
        parameters=79674391296,
        tensors=807,
        extra={"expert_used_count": 10, "ssm.group_count": 16, "full_attention_interval": 4},
        source=_hub("Qwen/Qwen3-Coder-Next"),
        figures=(
            Cache(
                context=131072,
                mib=3072.0 + 301.5 / 4,
                source="load log: '131072 cells, 12 layers', 3072 MiB; 'RS buffer size = 301.50 MiB' of 4 sequences",
            ),
        ),
    ),
    "qwen3.5-27b": Published(
        architecture="qwen35",
        config=Config(
            layers=64,
            width=5120,
            feed=17408,
            vocabulary=248320,
            heads=24,
            kv_heads=4,
            head=256,
            inner=6144,
            state=128,
            steps=48,
        ),
        layer=tensors.qwen35,
        context=262144,
        parameters=26.9e9,
        digit=0.05e9,
        extra={"ssm.group_count": 16, "full_attention_interval": 4},
        source=f"{_LLAMA_CPP}/pull/23792 (keys) and load logs: block_count = 64, 26.9B",
        figures=(
            Cache(
                context=24576,
                mib=1536.0 + 149.62,
                digit=0.006,
                source="load log: '24576 cells, 16 layers', 1536.00 MiB; 'R (f32):    5.62 MiB, S (f32):  144.00 MiB'",
            ),
            Cache(
                context=131072,
                mib=8192.0 + 149.62,
                digit=0.006,
                source="load log: 'size = 8192.00 MiB (131072 cells,  16 layers', 'size =  149.62 MiB (     1 cells'",
            ),
        ),
    ),
    "lfm2-1.2b": Published(
        architecture="lfm2",
        config=Config(
            layers=16,
            width=2048,
            feed=8192,
            vocabulary=65536,
            heads=32,
            kv_heads=8,
            tied=True,
            attentive=frozenset({2, 5, 8, 10, 12, 14}),
        ),
        layer=tensors.lfm2,
        context=32768,
        parameters=1170340608,
        extra={"shortconv.l_cache": 3},
        source=_hub("LiquidAI/LFM2-1.2B"),
    ),
    "gemma-2-9b": Published(
        architecture="gemma2",
        config=Config(layers=42, width=3584, feed=14336, vocabulary=256000, heads=16, kv_heads=8, head=256, tied=True),
        layer=tensors.gemma2,
        context=8192,
        parameters=9241705984,
        tensors=464,
        extra={"attention.sliding_window": 4096},
        tokenizer="llama",
        source=_hub("google/gemma-2-9b-it"),
    ),
    "gemma-3-270m": Published(
        architecture="gemma3",
        config=Config(layers=18, width=640, feed=2048, vocabulary=262144, heads=4, kv_heads=1, head=256, tied=True),
        layer=tensors.gemma3,
        context=32768,
        parameters=268098176,
        tensors=236,
        extra={"attention.sliding_window": 512},
        tokenizer="llama",
        source=_hub("google/gemma-3-270m"),
        figures=(
            Cache(context=4096, mib=27.0, source=_WINDOWS),
            Cache(context=8192, mib=39.0, source=_WINDOWS),
        ),
    ),
    "gemma-3-1b": Published(
        architecture="gemma3",
        config=Config(layers=26, width=1152, feed=6912, vocabulary=262144, heads=4, kv_heads=1, head=256, tied=True),
        layer=tensors.gemma3,
        context=32768,
        parameters=999885952,
        tensors=340,
        extra={"attention.sliding_window": 512},
        tokenizer="llama",
        source=_hub("google/gemma-3-1b-it"),
        figures=(
            Weights(
                kind="Q8_0",
                size=1013.54 * _MIB,
                digit=0.005 * _MIB,
                source="load log of bartowski's file: 'print_info: file size   = 1013.54 MiB (8.50 BPW)'",
            ),
        ),
    ),
    "gemma-3-12b": Published(
        architecture="gemma3",
        config=Config(layers=48, width=3840, feed=15360, vocabulary=262208, heads=16, kv_heads=8, head=256, tied=True),
        layer=tensors.gemma3,
        context=131072,
        parameters=11766034176,
        extra={"attention.sliding_window": 1024},
        tokenizer="llama",
        source=_UNSLOTH,
        figures=(Weights(kind="Q8_0", size=12503660544, source=_UNSLOTH),),
    ),
    "gemma-3-27b": Published(
        architecture="gemma3",
        config=Config(layers=62, width=5376, feed=21504, vocabulary=262208, heads=32, kv_heads=16, head=128, tied=True),
        layer=tensors.gemma3,
        context=131072,
        parameters=27009346304,
        # https://github.com/ggml-org/llama.cpp/issues/14097
        tensors=808,
        extra={"attention.sliding_window": 1024},
        tokenizer="llama",
        source=_UNSLOTH,
        figures=(Weights(kind="Q8_0", size=28701409280, source=_UNSLOTH),),
    ),
    "gpt-oss-20b": Published(
        architecture="gpt-oss",
        config=Config(
            layers=24,
            width=2880,
            experts=32,
            expert_feed=2880,
            vocabulary=201088,
            heads=64,
            kv_heads=8,
            head=64,
            kind="Q8_0",
            biased=("qkv", "attention"),
        ),
        layer=tensors.gpt_oss,
        context=131072,
        parameters=20914757184,
        tensors=459,
        extra={"attention.sliding_window": 128, "expert_used_count": 4},
        source="https://github.com/ikawrakow/ik_llama.cpp/issues/822 (model params = 20.91 B)",
        figures=(
            Cache(
                context=131072,
                mib=3072.0 + 18.0,
                source=f"{_LLAMA_CPP}/pull/17609 and load logs: 12 layers of 131072 cells, 12 of 768",
            ),
            Cache(
                context=8192,
                mib=102.0 + 3.19,
                kv_type="q8_0",
                batch=128,
                source=f"{_LLAMA_CPP}/blob/master/docs/backend/snapdragon/README.md (12 layers, 8192 and 256 cells)",
            ),
        ),
    ),
    "gpt-oss-120b": Published(
        architecture="gpt-oss",
        config=Config(
            layers=36,
            width=2880,
            experts=128,
            expert_feed=2880,
            vocabulary=201088,
            heads=64,
            kv_heads=8,
            head=64,
            kind="Q8_0",
            biased=("qkv", "attention"),
        ),
        layer=tensors.gpt_oss,
        context=131072,
        parameters=116829156672,
        # https://github.com/ggml-org/llama.cpp/issues/15253: 433 f32, 146 q8_0, 108 mxfp4, 59.02 GiB
        tensors=687,
        extra={"attention.sliding_window": 128, "expert_used_count": 4},
        source=_UNSLOTH,
        figures=(
            Weights(kind="Q8_0", size=63374323968, source=_UNSLOTH),
            Cache(
                context=131072,
                mib=(9216.0 + 90.0) / 2,
                batch=1024,
                digit=22.5,
                source="https://github.com/ollama/ollama/issues/16480 (two sequences; 131072 and 1280 cells)",
            ),
        ),
    ),
    "phi-4": Published(
        architecture="phi3",
        config=Config(layers=40, width=5120, feed=17920, vocabulary=100352, heads=40, kv_heads=10),
        layer=tensors.phi3,
        context=16384,
        parameters=14659507200,
        tensors=243,
        source=_hub("microsoft/phi-4"),
        figures=(Weights(kind="Q8_0", size=15576944640, source=_UNSLOTH),),
    ),
    "phi-2": Published(
        architecture="phi2",
        config=Config(
            layers=32,
            width=2560,
            feed=10240,
            vocabulary=51200,
            heads=32,
            kv_heads=32,
            biased=("qkv", "attention", "feed", "norms", "output"),
        ),
        layer=tensors.parallel,
        context=2048,
        parameters=2779683840,
        tensors=325,
        source=_hub("microsoft/phi-2"),
        figures=(
            Cache(
                context=2048,
                mib=640.0,
                source="https://github.com/ggml-org/ci (phi-2: KV self size  =  640.00 MiB, n_ctx = 2048)",
            ),
        ),
    ),
    "deepseek-v2-lite": Published(
        architecture="deepseek2",
        config=Config(
            layers=27,
            width=2048,
            feed=10944,
            experts=64,
            expert_feed=1408,
            shared_feed=2816,
            dense_first=1,
            vocabulary=102400,
            heads=16,
            kv_heads=1,
            kv_rank=512,
        ),
        layer=tensors.deepseek2,
        context=163840,
        parameters=15706484224,
        extra={
            "expert_used_count": 6,
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
        },
        source=_hub("deepseek-ai/DeepSeek-V2-Lite"),
    ),
    "deepseek-v3": Published(
        architecture="deepseek2",
        config=Config(
            layers=61,
            width=7168,
            feed=18432,
            experts=256,
            expert_feed=2048,
            shared_feed=2048,
            dense_first=3,
            vocabulary=129280,
            heads=128,
            kv_heads=1,
            query_rank=1536,
            kv_rank=512,
            biased=("router",),
        ),
        layer=tensors.deepseek2,
        context=163840,
        parameters=671026419200,
        tensors=1086,
        extra={
            "expert_used_count": 8,
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
        },
        source="671026419200 parameters of the main model, recounted from its configuration in several public places",
        figures=(
            Cache(
                context=32768,
                mib=2196.0,
                source=f"{_LLAMA_CPP}/pull/11446 (KV self size = 2196.00 MiB, K^R: 244.00 MiB, c^KV: 1952.00 MiB)",
            ),
        ),
    ),
    "command-r-35b": Published(
        architecture="command-r",
        config=Config(layers=40, width=8192, feed=22528, vocabulary=256000, heads=64, kv_heads=64, tied=True),
        layer=tensors.command_r,
        context=131072,
        parameters=34980831232,
        tensors=322,
        source=_hub("CohereForAI/c4ai-command-r-v01"),
    ),
    "llama-4-scout": Published(
        architecture="llama4",
        config=Config(
            layers=48,
            width=5120,
            feed=16384,
            experts=16,
            expert_feed=8192,
            shared_feed=8192,
            vocabulary=202048,
            heads=40,
            kv_heads=8,
            head=128,
        ),
        layer=tensors.llama,
        context=10485760,
        parameters=107.77e9,
        digit=0.005e9,
        extra={"expert_used_count": 1, "attention.chunk_size": 8192},
        source="llama-bench: 'llama4 17Bx16E (Scout) Q4_K - Medium |  60.86 GiB |   107.77 B'",
    ),
    "granite-4.0-h-small": Published(
        architecture="granitehybrid",
        config=Config(
            layers=40,
            width=4096,
            feed=768,
            experts=72,
            expert_feed=768,
            shared_feed=1536,
            vocabulary=100352,
            heads=32,
            kv_heads=8,
            inner=8192,
            state=128,
            tied=True,
            attentive=frozenset({5, 15, 25, 35}),
        ),
        layer=tensors.granite_hybrid,
        context=1048576,
        parameters=32207337984,
        tensors=666,
        extra={"expert_used_count": 10, "ssm.group_count": 1, "ssm.time_step_rank": 128},
        source=_UNSLOTH,
        figures=(Weights(kind="Q8_0", size=34261297152, source=_UNSLOTH),),
    ),
    "jamba-v0.1": Published(
        architecture="jamba",
        config=Config(
            layers=32,
            width=4096,
            feed=14336,
            experts=16,
            expert_feed=14336,
            vocabulary=65536,
            heads=32,
            kv_heads=8,
            inner=8192,
            state=16,
            steps=256,
            attentive=frozenset({4, 12, 20, 28}),
        ),
        layer=tensors.jamba,
        context=262144,
        parameters=51570323328,
        # https://github.com/ggml-org/llama.cpp/pull/7531
        tensors=531,
        extra={"expert_used_count": 2, "ssm.time_step_rank": 256},
        tokenizer="llama",
        source=_hub("ai21labs/Jamba-v0.1"),
    ),
    "mamba-1.4b": Published(
        architecture="mamba",
        config=Config(layers=48, width=2048, vocabulary=50280, inner=4096, state=16, steps=128, tied=True),
        layer=tensors.mamba,
        context=1048576,
        parameters=1372178432,
        source=_hub("state-spaces/mamba-1.4b-hf"),
        figures=tuple(
            Cache(
                context=context,
                mib=14.25,
                source="https://github.com/GeniePod/genie-claw/issues/410 (Mamba 14.25 MiB at 4k and at 32k)",
            )
            for context in (4096, 32768)
        ),
    ),
    "mamba-2.8b": Published(
        architecture="mamba",
        config=Config(layers=64, width=2560, vocabulary=50280, inner=5120, state=16, steps=160, tied=True),
        layer=tensors.mamba,
        context=1048576,
        parameters=2768345600,
        source=_hub("state-spaces/mamba-2.8b-hf"),
        figures=(
            Cache(
                context=512,
                mib=23.75,
                source=f"{_LLAMA_CPP}/pull/5328 (each KV slot takes 23.75 MiB)",
            ),
        ),
    ),
    "rwkv-6-finch-3b": Published(
        architecture="rwkv6",
        config=Config(layers=32, width=2560, feed=8960, vocabulary=65536, state=64, steps=32, biased=("norms",)),
        layer=tensors.rwkv6,
        context=1048576,
        parameters=3.1e9,
        digit=0.05e9,
        extra={"wkv.head_size": 64, "time_mix_extra_dim": 32, "time_decay_extra_dim": 64, "rescale_every_n_layers": 6},
        tokenizer="rwkv",
        source="https://arxiv.org/abs/2404.05892 (two Finch models with 1.6 and 3.1 billion parameters)",
    ),
    "rwkv-6-finch-7b": Published(
        architecture="rwkv6",
        config=Config(layers=32, width=4096, feed=14336, vocabulary=65536, state=128, steps=64, biased=("norms",)),
        layer=tensors.rwkv6,
        context=1048576,
        parameters=7.6e9,
        digit=0.05e9,
        # https://github.com/ggml-org/llama.cpp/issues/9315
        tensors=902,
        extra={"wkv.head_size": 64, "time_mix_extra_dim": 64, "time_decay_extra_dim": 128, "rescale_every_n_layers": 6},
        tokenizer="rwkv",
        source="https://huggingface.co/RWKV/v6-Finch-7B-HF",
    ),
    "rwkv-7-goose-2.9b": Published(
        architecture="rwkv7",
        config=Config(
            layers=32, width=2560, feed=10240, vocabulary=65536, state=64, steps=96, query_rank=320, biased=("norms",)
        ),
        layer=tensors.rwkv7,
        context=1048576,
        parameters=2.9e9,
        digit=0.05e9,
        extra={
            "wkv.head_size": 64,
            "attention.decay_lora_rank": 96,
            "attention.iclr_lora_rank": 96,
            "attention.value_residual_mix_lora_rank": 64,
            "attention.gate_lora_rank": 320,
        },
        tokenizer="rwkv",
        source="https://arxiv.org/abs/2503.14456 (0.19 to 2.9 billion parameters)",
        figures=tuple(
            Cache(
                context=context,
                mib=32 * 4 * (163840 + 2 * 2560) / _MIB,
                # Two shifted rows of each layer beside it, by https://github.com/vllm-project/vllm/pull/41060
                source=f"{_LLAMA_CPP}/issues/18154 (cache_s_l0: 163840 elements of f32 in each of 32 layers)",
            )
            for context in (512, 32768)
        ),
    ),
    "glm-z1-32b": Published(
        architecture="glm4",
        config=Config(layers=61, width=6144, feed=23040, vocabulary=151552, heads=48, kv_heads=2, head=128),
        layer=tensors.glm4,
        context=32768,
        parameters=32.57e9,
        digit=0.005e9,
        source="https://github.com/ikawrakow/ik_llama.cpp/pull/344 (model params = 32.57 B)",
    ),
    "glm-4.5-air": Published(
        # 46 layers and one that foretells tokens.
        architecture="glm4moe",
        config=Config(
            layers=47,
            width=4096,
            feed=10944,
            experts=128,
            expert_feed=1408,
            shared_feed=1408,
            dense_first=1,
            vocabulary=151552,
            heads=96,
            kv_heads=8,
            head=128,
            biased=("qkv",),
        ),
        layer=tensors.glm4moe,
        context=131072,
        parameters=110468824832,
        # https://github.com/ggml-org/llama.cpp/pull/14939
        tensors=803,
        extra={"expert_used_count": 8, "nextn_predict_layers": 1},
        source=_hub("zai-org/GLM-4.5-Air"),
    ),
    "olmo-2-7b": Published(
        architecture="olmo2",
        config=Config(layers=32, width=4096, feed=11008, vocabulary=100352, heads=32, kv_heads=32),
        layer=tensors.olmo2,
        context=4096,
        parameters=7298617344,
        tensors=355,
        source=_hub("allenai/OLMo-2-1124-7B-Instruct"),
    ),
    "falcon-7b": Published(
        architecture="falcon",
        config=Config(layers=32, width=4544, feed=18176, vocabulary=65024, heads=71, kv_heads=1, biased=("norms",)),
        layer=tensors.parallel,
        context=2048,
        parameters=7217189760,
        tensors=196,
        source=_hub("tiiuae/falcon-7b"),
    ),
    "starcoder2-7b": Published(
        architecture="starcoder2",
        config=Config(
            layers=32,
            width=4608,
            feed=18432,
            vocabulary=49152,
            heads=36,
            kv_heads=4,
            tied=True,
            biased=("qkv", "attention", "feed", "norms"),
        ),
        layer=tensors.starcoder2,
        context=16384,
        parameters=7173923840,
        source=_hub("bigcode/starcoder2-7b"),
    ),
    "smollm3-3b": Published(
        architecture="smollm3",
        config=Config(layers=36, width=2048, feed=11008, vocabulary=128256, heads=16, kv_heads=4, tied=True),
        layer=tensors.llama,
        context=65536,
        parameters=3075098624,
        tensors=326,
        source=_hub("HuggingFaceTB/SmolLM3-3B"),
    ),
}
