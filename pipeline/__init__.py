"""The machine and the model, in rooms; a room imports only from the floors below it (`[tool.importlinter]` in pyproject.toml).

Work is spread over processes, one a core, where more linear-algebra threads would only compete: one thread each, unless the
environment says otherwise. That has to be set before numpy is imported, and the limit on a picture's pixels before OpenCV is.
onnxruntime, from 1.29 on, reports its use to its makers from a thread of its own, unless it is told not to before it is imported.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(8192 * 4320))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
