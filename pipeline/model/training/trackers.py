"""wandb as a second place for a run's numbers; TensorBoard, the first, needs nothing of this."""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from accelerate import Accelerator
from accelerate.tracking import WandBTracker

from pipeline.base import install

PROJECT = "csg405"
KEY, MODE = "WANDB_API_KEY", "WANDB_MODE"


def add_wandb(accelerator: Accelerator, folder: Path, settings: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Let wandb track a run too, in the main process; where that cannot be, say so, and train without.

    It is online where its key is in the environment, unless `WANDB_MODE` says otherwise, and else writes to `folder/wandb`.

    Args:
        accelerator: whose trackers have begun.
        folder: of the training; its name is the run's.
        settings: of the recipe.
        say: receives a line for the user.
    """
    if find_spec("wandb") is None:
        say(f"train.trackers asks for wandb, which is not installed ({install.pip('wandb')}): training without it")
        return
    import wandb

    key = os.environ.get(KEY, "")
    mode = os.environ.get(MODE) or ("online" if key else "offline")
    # Neither what is printed nor the code goes there: numbers and settings alone.
    how = {"console": "off", "save_code": False, "disable_git": True}
    tracker = WandBTracker(PROJECT, name=folder.name, dir=str(folder), mode=mode, settings=how)
    try:
        tracker.start()
        tracker.store_init_configuration(dict(settings))
    except (wandb.Error, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        say(f"wandb did not start ({why.replace(key, '***') if key else why}): training without it")
        return
    accelerator.trackers.append(tracker)
    if mode == "offline":
        why = f"{MODE} says so" if os.environ.get(MODE) else f"there is no {KEY}"
        say(f"wandb is offline, as {why}: `wandb sync {folder / 'wandb'}/offline-run-*` sends what it has")
