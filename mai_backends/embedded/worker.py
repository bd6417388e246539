"""The program of a worker: one llama.cpp engine with one model, for as long as standard input stays open.

It reads one line of JSON from standard input (``Configuration`` of ``process.py``), writes one line of JSON to standard
output, ``{"ready": {"address": ...}}`` or ``{"failed": {"stage": "engine" | "model", "message": ...}}``, and then
serves HTTP on a loopback port. The key that opens it comes with the configuration, so that neither the command line
nor the environment shows it.

It is started by path and imports nothing of Mai: what the person's folder or Mai's packages hold cannot get in its way.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

PR_SET_PDEATHSIG = 1
CHECKPOINTS = 4
"""States of a sliding window kept for going back. The engine's own 32 grow memory that nobody has counted."""

LOG_SECONDS = 0.2
"""The engine writes its log from a thread of its own: the reason of a failure may still be under way."""


def claim_output() -> TextIO:
    """Standard output, for the answer alone: from here on what the engine prints there goes to standard error."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def behave() -> None:
    """Die with the parent, survive its Ctrl-C, be the first to go when memory runs out, and show no conversation."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def leave_with_parent() -> None:
    """Read standard input until it closes, then exit at once, whatever the engine is doing."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def parameters(engine: Any, config: dict[str, Any]) -> Any:
    """The engine's parameters, explicit wherever its own default would surprise."""
    chosen = engine.CommonParams()
    chosen.model.path = config["model"]
    chosen.model_alias = {"model"}
    chosen.n_parallel = config.get("parallel", 1)
    chosen.n_ctx = config["context"] * chosen.n_parallel
    chosen.kv_unified = False
    chosen.n_batch = chosen.n_ubatch = config["batch"]
    chosen.cpuparams.n_threads = config["threads"]
    chosen.cpuparams_batch.n_threads = config["batch_threads"]
    chosen.n_gpu_layers = config["gpu_layers"]
    chosen.cache_type_k = chosen.cache_type_v = getattr(engine.ggml_type, f"GGML_TYPE_{config['kv_type'].upper()}")
    chosen.cache_ram_mib = 0
    chosen.cache_idle_slots = False
    chosen.n_ctx_checkpoints = CHECKPOINTS
    chosen.fit_params = False
    chosen.offline = True
    chosen.hostnames = ["127.0.0.1"]
    chosen.port = 0
    chosen.n_threads_http = 4
    chosen.api_keys = [config["api_key"]]
    # No web page is ever to read an answer: an origin that no page can have.
    chosen.cors_origins = "http://127.0.0.1:1"
    chosen.cors_credentials = False
    chosen.ui = False
    if config.get("projector"):
        chosen.mmproj.path = config["projector"]
        chosen.mmproj_use_gpu = config["gpu_layers"] != 0
    if config.get("states"):
        chosen.slot_save_path = os.path.join(config["states"], "")
    chosen.verbosity = config.get("verbosity", 2)
    return chosen


def serve(config: dict[str, Any], output: TextIO) -> int:
    """Load the model, tell where it answers, and wait; returns only when that failed."""

    def answer(kind: str, **fields: str) -> None:
        print(json.dumps({kind: fields}), file=output, flush=True)

    try:
        import xllamacpp
    except ImportError as error:
        answer("failed", stage="engine", message=str(error))
        return 1
    try:
        server = xllamacpp.Server(parameters(xllamacpp, config))
    except RuntimeError as error:
        answer("failed", stage="model", message=str(error))
        return 1
    answer("ready", address=server.listening_address)
    threading.Event().wait()
    return 0


def main() -> None:
    """Run until the parent lets go."""
    output = claim_output()
    behave()
    line = sys.stdin.buffer.readline()
    if not line:
        return
    config = json.loads(line)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    code = serve(config, output)
    time.sleep(LOG_SECONDS)
    os._exit(code)


if __name__ == "__main__":
    main()
