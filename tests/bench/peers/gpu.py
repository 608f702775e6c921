#!/usr/bin/env python3
"""What PyTorch makes of a GPU: the rate of a large bf16 product, and CLIP ViT-L/14@336's backbone (Hugging Face, bf16,
fused attention, random weights) by batch. Needs torch and transformers; beside hfwa_device_bench in one session.

tests/bench/peers/gpu.py [--batches 1,8,32,64]
"""
import argparse
import sys


def median_ms(torch, work, runs):
    for _ in range(3):
        work()
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[runs // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,8,32,64")
    options = parser.parse_args()
    try:
        import torch
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    except ImportError as error:
        sys.exit(f"skipped: {error}")
    if not torch.cuda.is_available():
        sys.exit("skipped: no CUDA device")
    side = 8192
    made = {"device": "cuda", "dtype": torch.bfloat16}
    x, y = torch.randn(side, side, **made), torch.randn(side, side, **made)
    took = median_ms(torch, lambda: x @ y, 20)
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    print(f"bf16 product of {side}: {2e-9 * side**3 / took:.0f} TFLOP/s")
    config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                              image_size=336, patch_size=14, projection_dim=768)
    config._attn_implementation = "sdpa"
    model = CLIPVisionModelWithProjection(config).to("cuda", torch.bfloat16).eval()
    with torch.no_grad():
        for batch in map(int, options.batches.split(",")):
            images = torch.randn(batch, 3, 336, 336, **made)
            took = median_ms(torch, lambda: model(images), 10)
            print(f"backbone alone, {batch} images: {took:.2f} ms, {1000 * batch / took:.0f} images/s")


if __name__ == "__main__":
    main()
