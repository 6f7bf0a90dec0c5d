"""Stand-ins for the programs of Wan2.2 and VACE; see `fakes`."""

_SHARED = """
import argparse, json, os, sys
from pathlib import Path
import av, numpy as np
from common import behave, place

rank, ranks = int(os.getenv("RANK", 0)), int(os.getenv("WORLD_SIZE", 1))
assert int(os.getenv("LOCAL_RANK", 0)) == rank
Path(f"rank-{rank}").write_text(json.dumps([ranks, os.environ.get("MASTER_PORT", "")]))

def poses(path):
    with av.open(path) as video:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)])

def flashes(pictures):
    x, y = place(pictures.shape[2], pictures.shape[1])
    return pictures[:, y - 4 : y + 5, x - 4 : x + 5].max((1, 2, 3)) > 60

def write(path, bright, width, height):
    if Path("behaviour").read_text() == "garbage":
        Path(path).write_text("#EXTM3U file:///etc/passwd")
        return
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for light in bright:
            picture = np.full((height, width, 3), 255 if light else 0, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                video.mux(packet)
        for packet in stream.encode(None):
            video.mux(packet)
"""

WAN = (
    _SHARED
    + """
import soundfile
from PIL import Image

def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("task", "size", "ckpt_dir", "image", "audio", "pose_video", "prompt", "save_file"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--offload_model")
    for name in ("num_clip", "infer_frames", "sample_steps", "base_seed"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--ulysses_size", type=int, default=1)
    parser.add_argument("--sample_guide_scale", type=float)
    for name in ("convert_model_dtype", "dit_fsdp", "t5_fsdp", "start_from_ref"):
        parser.add_argument("--" + name, action="store_true")
    asked = parser.parse_args()
    assert asked.task == "s2v-14B" and asked.ulysses_size == ranks and asked.infer_frames % 4 == 0
    assert asked.dit_fsdp == asked.t5_fsdp == (ranks > 1) and Path(asked.ckpt_dir).is_dir()
    how = behave()
    if rank == 1 and how == "one":
        raise RuntimeError("NCCL error of rank 1")
    if rank == 0 and how == "one":
        import time
        Path("child").write_text(str(os.getpid()))
        time.sleep(600)
    if rank or how == "nothing":
        return
    pictures = poses(asked.pose_video)
    frames = asked.num_clip * asked.infer_frames
    assert len(pictures) == frames
    heard = soundfile.info(asked.audio)
    assert heard.samplerate == 16000 and heard.duration * 16 == frames
    width, height = Image.open(asked.image).size
    assert pictures.shape[1:3] == (height, width)
    area = np.prod([int(side) for side in asked.size.split("*")])
    assert width * height <= area
    lost = 0 if asked.start_from_ref else 3
    bright = flashes(pictures)[lost:]
    write(asked.save_file, bright[:-4] if how == "short" else bright, width, height)

main()
"""
)

VACE = (
    _SHARED
    + """
import torch
from PIL import Image

SIZES = {"480p": (480, 832), "720p": (1280, 720)}

def get_parser():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("ckpt_dir", "src_video", "src_ref_images", "prompt", "save_dir", "save_file"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--model_name", choices=["vace-1.3B", "vace-14B"], required=True)
    parser.add_argument("--size", choices=list(SIZES), required=True)
    for name in ("frame_num", "sample_steps", "base_seed"):
        parser.add_argument("--" + name, type=int, required=True)
    for name in ("ulysses_size", "ring_size"):
        parser.add_argument("--" + name, type=int, default=1)
    parser.add_argument("--sample_guide_scale", type=float)
    for name in ("dit_fsdp", "t5_fsdp"):
        parser.add_argument("--" + name, action="store_true")
    return parser

class WanVace:
    device = "cpu"

    def __init__(self, rank):
        self.rank = rank
        Path("loaded").open("a").write("once ")

    def prepare_source(self, videos, masks, images, frames, size, device):
        pictures = torch.from_numpy(poses(videos[0])).permute(3, 0, 1, 2) / 127.5 - 1
        assert pictures.shape[1] == frames and frames % 4 == 1
        return [pictures], [torch.ones_like(pictures)], images

    def generate(self, prompt, frames, masks, images, size, frame_num, sampling_steps, seed):
        behave()
        shown = ((frames[0] + 1) * 127.5).permute(1, 2, 3, 0).numpy()
        drawn = torch.from_numpy(flashes(shown).astype(np.float32) * 2 - 1)[None, :, None, None]
        made = torch.where(masks[0][:1] > 0.5, drawn.expand_as(frames[0]), frames[0])
        return made if self.rank == 0 else None

def main(asked):
    assert asked.ulysses_size * asked.ring_size == ranks and asked.dit_fsdp == (ranks > 1)
    assert Path(asked.ckpt_dir).is_dir()
    vace = WanVace(rank=rank)
    given = vace.prepare_source([asked.src_video], [None], [asked.src_ref_images.split(",")], asked.frame_num, SIZES[asked.size], 0)
    height, width = given[0][0].shape[2:]
    assert Image.open(given[2][0][0]).size == (width, height)
    made = vace.generate(asked.prompt, *given, size=SIZES[asked.size], frame_num=asked.frame_num,
                         sampling_steps=asked.sample_steps, seed=asked.base_seed)
    if rank or Path("behaviour").read_text() == "nothing":
        return
    os.makedirs(asked.save_dir)
    bright = made.mean((0, 2, 3)) > 0
    write(asked.save_file, bright[:-4] if Path("behaviour").read_text() == "short" else bright, width, height)

if __name__ == "__main__":
    main(get_parser().parse_args())
"""
)
