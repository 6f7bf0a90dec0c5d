"""An executor of threads, as somebody who adds one would write it: no process, no shared file, rows by value."""

import concurrent.futures

from pipeline.engine.executors.executor import Job, Result, Results, Units
from pipeline.engine.executors.worker import Worker


class ThreadExecutor:
    """Runs units of one stage in threads of the driver, a worker a thread."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.workers = [Worker(job.stage, job.context) for _ in range(max(1, job.workers))]

    def results(self, units: Units) -> Results:
        """Yield (index, result) in the order in which units end; as many units are drawn as there are idle workers."""
        idle = list(self.workers)
        flying: dict[concurrent.futures.Future[Result], tuple[int, Worker]] = {}
        with concurrent.futures.ThreadPoolExecutor(len(idle)) as pool:
            while not self.job.stopping():
                while idle and (drawn := next(units, None)):
                    index, unit = drawn
                    worker = idle.pop()
                    flying[pool.submit(worker.run, unit.carrying_rows())] = index, worker
                if not flying:
                    return
                done, _ = concurrent.futures.wait(flying, 0.5, concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    index, worker = flying.pop(future)
                    idle.append(worker)
                    yield index, future.result()
