"""What holds for a whole process of ours: commands set it when they start, and the workers that they start inherit it.

A library must not decide this for whoever imports it: `import pipeline` changes nothing.
"""

import os

MOST_PICTURE_PIXELS = 8192 * 4320


def prepare() -> None:
    """Set limits that numpy and OpenCV read when they are imported; what the environment says already stays.

    Work is spread over processes, one a core, where more linear-algebra threads would only compete: one thread each. A picture
    file may promise more pixels than there is memory. onnxruntime, from 1.29 on, reports its use to its makers from a thread of its
    own, unless it is told not to before it is imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PICTURE_PIXELS))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
