"""The benchmarks; see `python -m tests.bench --help`."""

from pipeline.base.process import prepare

prepare()  # as commands do, before numpy is imported
