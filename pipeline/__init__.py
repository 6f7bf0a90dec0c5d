"""The machine, and what more than one stage needs.

Work is spread over processes, so threads of linear algebra within each would only get into each other's way; nor do their locks
always wake up again (seen: OpenBLAS asleep for good in a worker, on Linux 6.18 with glibc 2.36). Hence one thread, unless the
environment says otherwise; it has to be said before numpy is imported.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
