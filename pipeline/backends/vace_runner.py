"""Runs VACE's program over a motion of any length. Self-contained: it runs in VACE's environment, started in its checkout.

Its own `main` does all the work. Only where it generates, a film of several windows takes several turns: each begins with the
last pictures of the one before, masked as known, which is what its guide recommends for long films (`firstclip`).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--next_video", action="append", default=[], help="source video of the next window")
    parser.add_argument("--overlap", type=int, required=True, help="pictures that windows have in common")
    asked, theirs = parser.parse_known_args()
    sys.path[0] = str(Path.cwd() / "vace")  # as if its program had been started
    import vace_wan_inference as program  # type: ignore[import-not-found]

    program.WanVace = windowed(program.WanVace, asked.next_video, asked.overlap)
    program.main(program.get_parser().parse_args(theirs))


def windowed(base: Any, following: list[str], overlap: int) -> Any:
    """Its class, whose `generate` also makes the windows that follow; (3, T, H, W) in -1..1 on the first process, else None."""

    class Windowed(base):
        def generate(self, prompt: str, frames: Any, masks: Any, references: Any, **options: Any) -> Any:
            made = super().generate(prompt, frames, masks, references, **options)
            film = [made]
            for number, path in enumerate(following, 1):
                known = self._last(made, frames[0])
                frames, masks, _ = self.prepare_source(
                    [path], [None], [None], options["frame_num"], options["size"], self.device
                )
                frames[0][:, :overlap] = known
                masks[0][:, :overlap] = 0
                again = {**options, "seed": options["seed"] + number}
                made = super().generate(prompt, frames, masks, references, **again)
                film.append(None if made is None else made[:, overlap:].cpu())
            return None if film[0] is None else torch.cat([film[0].cpu(), *film[1:]], 1)

        def _last(self, made: Any, like: Any) -> Any:
            """The last pictures that were made, on every process: only the first one decodes them."""
            known = torch.empty_like(like[:, :overlap])
            if made is not None:
                known.copy_(made[:, -overlap:])
            if dist.is_initialized():
                dist.broadcast(known, 0)
            return known

    return Windowed


if __name__ == "__main__":
    main()
