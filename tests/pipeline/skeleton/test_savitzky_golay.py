"""The filter gives the same bits as SciPy's, which everything that was measured and exported before was smoothed with."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import savgol_filter

from pipeline.skeleton.savitzky_golay import savitzky_golay


@pytest.mark.parametrize("window", [5, 7, 11])
def test_it_is_that_of_scipy(window: int) -> None:
    rng = np.random.default_rng(window)
    for frames in range(window, 60):
        paths = rng.normal(200, 80, (frames, int(rng.integers(1, 30)), 2))
        np.testing.assert_array_equal(savitzky_golay(paths, window, 2), savgol_filter(paths, window, 2, axis=0))
    line = rng.normal(0, 1, 40)
    np.testing.assert_array_equal(savitzky_golay(line, window, 3), savgol_filter(line, window, 3))


def test_a_parabola_stays_as_it_is() -> None:
    frames = np.arange(30.0)[:, None]
    paths = 3 + frames * [1, -2] + frames**2 * [0.1, 0.2]
    np.testing.assert_allclose(savitzky_golay(paths, 11, 2), paths, rtol=1e-9)


def test_workers_do_not_import_scipys_statistics() -> None:
    code = (
        "import sys, stages.measure_pose.worker, stages.export.worker, stages.annotate.worker, stages.lip_sync.worker\n"
        "import pipeline.skeleton.savitzky_golay\n"
        "print([name for name in ('scipy.signal', 'scipy.stats') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
