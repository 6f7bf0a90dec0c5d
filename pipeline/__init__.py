"""The machine, and what more than one stage needs.

Work is spread over processes, one a core, so threads of linear algebra within each would only wait for each other: one, unless the
environment says otherwise. It has to be said before numpy is imported. How many pixels a picture may have, before OpenCV is.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(8192 * 4320))
