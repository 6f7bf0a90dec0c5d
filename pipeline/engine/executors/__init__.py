"""Executors turn units into results. The runner plans and commits; where the computing happens is the executor's affair."""

# What `machine.executor` may name -> where its class is; another executor adds a line here.
LOCAL = "local"
EXECUTORS = {
    LOCAL: "pipeline.engine.executors.local:LocalExecutor",
    "ray": "pipeline.engine.executors.on_ray:RayExecutor",
}
