"""One process a GPU that holds nets for many workers: they send rows through shared memory, and it runs them in large batches.

`client.open_net` gives what looks like an onnxruntime session; `keeper.Keeper` starts the servers and restarts one that dies.
"""
