"""Executors: what turns units into results. The runner plans and commits; which machine computes is theirs to decide."""

# What `machine.executor` may name -> where its class is; another executor adds a line here.
EXECUTORS = {"local": "pipeline.engine.executors.local:LocalExecutor"}
