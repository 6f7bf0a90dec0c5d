"""Runs MimicMotion's pipeline over skeletons that are already drawn. Self-contained: it runs in MimicMotion's environment.

Started in its checkout. Reads arrays only (no pickle); writes frame_0.png ... into the output folder.
"""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image


def main() -> None:
    asked = _arguments()
    sys.path[0] = str(Path.cwd())  # the checkout's modules, not what lies beside this file
    import inference  # type: ignore[import-not-found]

    torch.set_default_dtype(torch.float16)  # as its own main does; the arrays below follow it
    torch.set_grad_enabled(False)
    config = SimpleNamespace(base_model_path=asked.base_model_path, ckpt_path=asked.ckpt_path)
    pipeline = inference.create_pipeline(config, inference.device)
    # From here on it is of one clip: `batch_runner.py` runs it for each.
    with np.load(asked.inputs, allow_pickle=False) as arrays:
        pose_pixels, image_pixels = (
            torch.from_numpy(arrays[name]) / 127.5 - 1 for name in ("pose_pixels", "image_pixels")
        )
    # It leaves out the first picture, which shows the reference's pose.
    pictures = inference.run_pipeline(pipeline, image_pixels, pose_pixels, inference.device, asked)
    asked.output.mkdir(parents=True, exist_ok=True)
    for n, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(asked.output / f"frame_{n}.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--base_model_path", required=True)
    parser.add_argument("--ckpt_path", required=True)
    for name in ("num_frames", "frames_overlap", "num_inference_steps", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("noise_aug_strength", "guidance_scale"):
        parser.add_argument(f"--{name}", type=float, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
