"""Stand-ins for the back-ends' checkouts: the same files and options, and pictures that are white where a flash was planted.

They read their inputs for real. What else they do is in the checkout's `behaviour`, where the flash is in its `place`.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.backends.geometry import into_view
from pipeline.backends.job import Job, Options, View
from pipeline.backends.run import backend
from pipeline.skeleton import layout
from pipeline.theatre import planted
from tests.pipeline.backends.fakes_wan import VACE, WAN

PLACE = (40.0, 40.0)  # px of the picture: nothing of the person is ever there
LEFT_ANKLE = 15
FLASHES = (20, 45, 64)  # frames, at 25 a second
FLASH_FRAMES = 5

_COMMON = """
import json, os, subprocess, sys, time
from pathlib import Path

def opened():
    '''Loading of weights: it takes as long as `opening` says, and stands in a list.'''
    with open("opened", "a") as file:
        file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\\n")
    how = Path("opening").read_text().split() if Path("opening").exists() else ["0"]
    if how[0] == "exit":
        sys.exit("motion module not found")
    time.sleep(float(how[0]))
    return object()

def behave():
    time.sleep(float(Path("filming").read_text()) if Path("filming").exists() else 0)
    wanted, end = int(Path("together").read_text()) if Path("together").exists() else 0, time.time() + 300
    while len(Path("opened").read_text().splitlines() if wanted else ()) < wanted and time.time() < end:
        time.sleep(0.05)  # nobody films before so many processes have opened their weights
    Path("environment.json").write_text(json.dumps(dict(os.environ)))
    how = Path("behaviour").read_text()
    print("loading", how, flush=True)
    if how == "crash":
        raise ValueError("the net exploded\\x1b[31m")
    if how == "package":
        import xformers_of_nowhere
    if how == "gpu":
        raise RuntimeError("No CUDA GPUs are available")
    if how == "killed":
        os.kill(os.getpid(), 9)
    if how == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if how == "weights":
        raise FileNotFoundError("[Errno 2] No such file or directory: 'checkpoints/unet.pth'")
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("child").write_text(str(child.pid))
        time.sleep(600)
    return how

def place(width, height):
    x, y = json.loads(Path("place").read_text())
    return round(x * width), round(y * height)
"""

_STABLE = """
import argparse
from pathlib import Path
import cv2, numpy as np
from common import behave, opened, place

def parse_args():
    parser = argparse.ArgumentParser()
    for name in ("pretrained_model_name_or_path", "validation_image", "validation_control_folder", "output_dir",
                 "posenet_model_name_or_path", "face_encoder_model_name_or_path", "unet_model_name_or_path"):
        parser.add_argument("--" + name, required=True)
    for name in ("height", "width", "num_inference_steps", "tile_size", "overlap", "frames_overlap", "decode_chunk_size"):
        parser.add_argument("--" + name, type=int)
    for name in ("guidance_scale", "noise_aug_strength"):
        parser.add_argument("--" + name, type=float)
    parser.add_argument("--gradient_checkpointing", action="store_true")
    return parser.parse_args()

if __name__ == "__main__":
    args = parse_args()
    generator = np.random.default_rng(23123134)
    np.random.seed(405)
    pipeline = opened()
    how = behave()
    poses = sorted(Path(args.validation_control_folder).glob("*.png"), key=lambda p: int(p.stem.split("_")[1]))
    assert len(poses) >= args.tile_size
    reference = cv2.imread(args.validation_image)
    assert reference.shape == (args.height, args.width, 3)
    print("drawn", generator.integers(1 << 30), np.random.randint(1 << 30), flush=True)
    out = Path(args.output_dir) / "animated_images"
    if how != "nothing":
        out.mkdir(parents=True)
        for n, path in enumerate(poses[:-1] if how == "short" else poses):
            pose = cv2.imread(str(path))
            x, y = place(args.width, args.height)
            flash = pose[y - 4 : y + 5, x - 4 : x + 5].max() > 60
            cv2.imwrite(str(out / f"frame_{n}.png"), np.full_like(pose, 255) if flash else np.zeros_like(pose))
        if how == "small":
            cv2.imwrite(str(out / "frame_0.png"), np.zeros((64, 64, 3), np.uint8))
        if how == "garbage":
            (out / "frame_0.png").write_bytes(b"\\x80\\x04not a picture")
"""

_ECHO = """
import argparse, json, os, time
from pathlib import Path
import av, numpy as np, soundfile
from PIL import Image
from common import behave, opened, place

def parse_args():
    parser = argparse.ArgumentParser()
    for name in ("config", "device", "ref_images_dir", "audio_dir", "pose_dir", "refimg_name", "audio_name", "pose_name"):
        parser.add_argument("--" + name)
    for name in ("-W", "-H", "--seed", "--context_frames", "--steps", "--fps"):
        parser.add_argument(name, type=int)
    parser.add_argument("-L", type=int, default=240)
    parser.add_argument("--cfg", type=float)
    return parser.parse_args()

def main():
    args = parse_args()
    config = json.loads(Path(args.config).read_text())
    width, height = args.W, args.H
    pipe = opened()
    how = behave()
{where}
    target.parent.mkdir(parents=True, exist_ok=True)
    assert Image.open(reference).size == (width, height)
    heard = soundfile.info(voice)
    assert heard.samplerate == 16000
    frames = min(args.L, int(heard.duration * args.fps), len(os.listdir(poses)))
    assert frames == args.L, "the voice must not cut the film"
    if how == "short":
        frames -= 4
    if how == "garbage":
        target.write_text("#EXTM3U file:///etc/passwd")
        raise SystemExit
    with av.open(str(target), "w") as video:
        stream = video.add_stream("libx264", rate=args.fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            pose = np.load(f"{poses}/{n}.npy", allow_pickle=True).tolist()
            rows, columns, top, bottom, left, right = pose["draw_pose_params"]
            assert (bottom - top, right - left) == (rows, columns) == (height, width)
            far = np.abs(pose["hands"][0] * [width, height] - place(width, height)).max()
            picture = np.full((height, width, 3), 255 if far < 30 else 0, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                video.mux(packet)
        for packet in stream.encode(None):
            video.mux(packet)

if __name__ == "__main__":
    main()
"""

_BY_OPTIONS = """
    reference, poses = f"{args.ref_images_dir}/{args.refimg_name}", f"{args.pose_dir}/{args.pose_name}"
    voice = f"{args.audio_dir}/{args.audio_name}"
    flag = config["motion_module_path"].split("/")[-2]
    folder = Path(f"outputs/{flag}-iter-seed{args.seed}") / ".".join(args.refimg_name.split("/")[-2:]) / args.pose_name
    target = folder / f"{Path(reference).stem}-a-{args.audio_name}-i0_sig.mp4"
"""

_BY_CASES = """
    [(reference, given)] = config["test_cases"].items()
    for path in given:
        if ".wav" in path:
            voice = path
        else:
            poses = path
    folder = Path(time.strftime("output/%Y%m%d/%H%M") + f"--step_{args.steps}-{args.W}x{args.H}--cfg_{args.cfg}")
    stem = Path(reference).stem
    target = folder / stem / f"{stem}-a-{Path(voice).stem}-i0_sig.mp4"
"""

_MIMIC = """
import torch
from common import behave, opened, place

device = "cpu"

def create_pipeline(config, device):
    assert config.base_model_path and config.ckpt_path
    opened()
    return "pipeline"

def run_pipeline(pipeline, image_pixels, pose_pixels, device, task):
    how = behave()
    assert pipeline == "pipeline" and pose_pixels.dtype == torch.float16 == image_pixels.dtype
    assert image_pixels.shape == (1, *pose_pixels.shape[1:]) and len(pose_pixels) >= task.num_frames
    assert float(pose_pixels.min()) == -1 and float(pose_pixels.max()) <= 1
    x, y = place(pose_pixels.shape[3], pose_pixels.shape[2])
    flash = pose_pixels[:, :, y - 4 : y + 5, x - 4 : x + 5].amax((1, 2, 3)) > -0.5
    frames = (flash[:, None, None, None] * 255).to(torch.uint8).expand(pose_pixels.shape)
    return frames[1:-1] if how == "short" else frames[1:]
"""

_SCRIPTS = {
    "stableanimator": ("inference_basic.py", _STABLE),
    "echomimicv2": ("infer.py", _ECHO.replace("{where}", _BY_OPTIONS)),
    "echomimicv2-acc": ("infer_acc.py", _ECHO.replace("{where}", _BY_CASES)),
    "mimicmotion": ("inference.py", _MIMIC),
    "wan-s2v": ("generate.py", WAN),
    "vace-1.3b": ("vace/vace_wan_inference.py", VACE),
    "vace-14b": ("vace/vace_wan_inference.py", VACE),
}


def checkout(folder: Path, name: str, behaviour: str = "film") -> Options:
    """A stand-in for the checkout of `name`; returns options that run it by this interpreter, at a small size."""
    adapter = backend(name)
    folder.mkdir()
    script, text = _SCRIPTS[name]
    for needed in (*adapter.needed, *adapter.weights.values()):
        path = folder / needed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix[1:].isalpha() else path.mkdir(exist_ok=True)
    (folder / script).write_text(text)
    (folder / script).with_name("common.py").write_text(_COMMON)
    (folder / "behaviour").write_text(behaviour)
    return Options(checkout=folder, python=sys.executable, size="128x128", deadline_seconds=60)


def plant(options: Options, view: View) -> None:
    """Tell the stand-in where the flash is in the film."""
    x, y = (into_view(np.array(PLACE), view) + 0.5) / view.size
    assert options.checkout is not None
    (options.checkout / "place").write_text(json.dumps([x, y]))


def job(frames: int = 75) -> Job:
    """A puppet of 512 x 512 px; in every flash its left hand and foot lie at `PLACE`, and a click begins. None in short ones."""
    motion = planted.pair(planted.speaker(3), 5.0, [3]).keypoints[:frames].astype(float)
    scores = np.where(layout.seen(motion), 0.9, 0.0)
    wave = np.zeros(frames * 640, np.float32)
    reference, reference_scores = motion[0].copy(), scores[0].copy()
    for first in FLASHES if frames > max(FLASHES) + FLASH_FRAMES else ():
        for part in (layout.LEFT_HAND, LEFT_ANKLE):  # VACE's drawing has no hands
            motion[first : first + FLASH_FRAMES, part] = PLACE
            scores[first : first + FLASH_FRAMES, part] = 1.0
        wave[first * 640 : first * 640 + 1600] = 0.5 * np.sin(np.arange(1600) * 2 * np.pi * 1000 / 16_000)
    x, y = np.meshgrid(np.arange(512), np.arange(512))
    picture = np.stack([x // 2, y // 2, (x + y) // 4], -1).astype(np.uint8)
    return Job(motion, scores, picture, reference, reference_scores, wave)


def gone(pid: int) -> bool:
    """Whether a process ends, within seconds: a signal needs a moment. One that has ended and waits for its parent is gone."""
    for _ in range(250):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def living(group: int) -> list[int]:
    """The processes of a group, without those that have ended and wait for their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(of) == group and state not in "ZX":
            found.append(int(path.parent.name))
    return found
