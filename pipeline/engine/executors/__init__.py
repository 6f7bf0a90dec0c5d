"""Executors turn units into results. The runner plans and commits; where the computing happens is the executor's affair."""

# What `machine.executor` may name -> where its class is; another executor adds a line here.
EXECUTORS = {"local": "pipeline.engine.executors.local:LocalExecutor"}
