#!/bin/sh
# Builds a data set on a cluster whose nodes share this folder: crawl and filter on one node, annotate on several at once.
#   sh docker/slurm.sh 8 --input /shared/videos --run runs/talks
# The first word is the number of parts that annotate is split into; the rest goes to csg405. SBATCH_PARTITION, SBATCH_GPUS,
# SBATCH_TIMELIMIT and so on are read by sbatch itself. A job that was stopped goes on when this is submitted again.
set -eu
parts=$1
shift
test -x .venv/bin/csg405 || make setup EXTRA=web # here, where there is a network: nodes often have none
options=$(for word; do printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done)
# Interrupted three minutes before the time limit, so that what is done is committed. Units that failed (code 3) stop nothing.
job() {
	name=$1 command=$2
	shift 2
	sbatch --parsable --job-name="csg405-$name" --signal=INT@180 "$@" \
		--wrap "srun .venv/bin/csg405 run $command$options || test \$? -eq 3"
}
crawl=$(job crawl crawl)
annotate=$(job annotate "annotate --shard \$SLURM_ARRAY_TASK_ID/$parts" --dependency="afterok:$crawl" --array="0-$((parts - 1))")
filter=$(job filter filter --dependency="afterok:$annotate")
echo "submitted: crawl $crawl, annotate $annotate in $parts parts, filter $filter"
