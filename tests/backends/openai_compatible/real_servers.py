"""Real servers: the embedded engine's own, and LiteLLM's proxy from the package registry."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import platformdirs
import pytest
from filelock import FileLock

from mai_backends.embedded.process import WORKER, Configuration
from mai_core.policy.models import KvType

LITELLM = "1.106.2"
LITELLM_NEEDS = (
    *("fastapi", "uvicorn", "orjson", "python-multipart", "apscheduler", "pyyaml", "backoff", "cryptography", "pyjwt"),
    *("email-validator", "rich", "websockets", "redis", "mcp", "expression", "fastapi-sso", "soundfile", "uvloop"),
)
"""What its proxy imports. The extra ``proxy`` brings twice as much: clouds, databases, tracing."""

CONTEXT = 1024


@dataclass(frozen=True)
class RealServer:
    """Where it is and what opens it."""

    url: str
    key: str


@contextmanager
def worker(weights: Path) -> Iterator[RealServer]:
    """llama.cpp's server as the embedded engine runs it, in a process of its own."""
    configuration = Configuration(
        model=str(weights), context=CONTEXT, kv_type=KvType.F16, gpu_layers=0, threads=1, batch_threads=1, batch=64
    )
    process = subprocess.Popen(
        [sys.executable, "-P", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(configuration)) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        yield RealServer(answer["ready"]["address"], configuration.api_key)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def litellm_proxy(upstream: RealServer, folder: Path) -> Iterator[RealServer]:
    """LiteLLM's proxy in front of another server, with one model ``team/starter``."""
    python = _environment(f"litellm-{LITELLM}", f"litellm=={LITELLM}", *LITELLM_NEEDS)
    model = {"model": "openai/model", "api_base": f"{upstream.url}/v1", "api_key": "os.environ/UPSTREAM_KEY"}
    info = {"mode": "chat", "max_input_tokens": CONTEXT, "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    settings = {
        "model_list": [{"model_name": "team/starter", "litellm_params": model, "model_info": info}],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": "os.environ/MASTER_KEY"},
    }
    config = folder / "litellm.json"  # which is YAML, too
    config.write_text(json.dumps(settings), encoding="utf-8")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = RealServer(f"http://127.0.0.1:{port}", "sk-proxy-0815")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MASTER_KEY": server.key,
        "UPSTREAM_KEY": upstream.key,
    }
    start = "from litellm.proxy.proxy_cli import run_server; run_server()"
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-c", start, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            _wait_for(f"{server.url}/health/liveliness", process, folder / "litellm.log")
            yield server
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(name: str, *packages: str) -> Path:
    """The interpreter of an environment with these packages, made once for this person and kept."""
    root = platformdirs.user_cache_path("mai-test-servers")
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, complete = folder / "bin" / "python", folder / "complete"
    with FileLock(f"{folder}.lock"):
        if not complete.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
            done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no {name}: {done.stderr.strip().splitlines()[-1:]}")
            complete.touch()
    return python


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 400.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, timeout=5.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            pytest.fail(f"LiteLLM does not come up: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
