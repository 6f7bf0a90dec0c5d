"""Nets behind typed interfaces; none knows of tables, stages or runs, so each works from a notebook."""

import os

# onnxruntime, from 1.29 on, reports its use to its makers, from a thread that begins with its import: here, too, it does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
