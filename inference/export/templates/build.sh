#!/bin/sh
# Make the plans of this repository. Run it on the kind of GPU that will serve them, in NVIDIA's
# TensorRT container of the same release as the Triton container, with this folder mounted:
#
#     docker run --rm --gpus all -v "$$PWD":/export $$TENSORRT_IMAGE sh /export/build.sh
#
# where TENSORRT_IMAGE is nvidia/tensorrt:$release-py3 of NVIDIA's registry.
#
# Inputs and outputs stay FP32 and INT64; PRECISION= (empty) computes in FP32, too, as
# SDXL's VAE always does: in FP16 it overflows.
set -eu
cd "$$(dirname "$$0")"
PRECISION="$${PRECISION---fp16}"
TRTEXEC="$${TRTEXEC:-trtexec}"
command -v "$$TRTEXEC" >/dev/null || { echo "build.sh: no trtexec here: run it in NVIDIA's TensorRT container" >&2; exit 2; }
$builds
