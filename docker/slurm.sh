#!/bin/sh
# Builds a data set on a Slurm cluster whose nodes share this folder: every stage as an array of parts, one stage after the other.
#   sh docker/slurm.sh 8 --input /shared/videos --run runs/talks
# The first word is the number of parts; the rest goes to csg405. SBATCH_PARTITION, SBATCH_GPUS, SBATCH_TIMELIMIT and so on are
# read by sbatch itself, OPTIONS="--cpus-per-task=8 --mem=32G" is given to it. Three minutes before its time limit a job stops,
# commits, and is queued again. What fails cancels what waits for it; the same line goes on from there.
# TARGETS, GRACE (seconds) and RESTARTS change what is built, when a job stops, and how often it is queued again.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --kill-on-invalid-dep=yes
set -eu
csg405=${CSG405:-.venv/bin/csg405}
targets=${TARGETS:-crawl annotate filter}
grace=${GRACE:-180}
restarts=${RESTARTS:-50}

again() { # queue this job once more: what it did is committed
	count=${SLURM_RESTART_COUNT:-0}
	if test "$count" -ge "$restarts"; then
		echo "stopped before its time limit $count times: give it more time (SBATCH_TIMELIMIT), then submit the same line" >&2
		exit 1
	fi
	id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
	scontrol requeue "${id:-$SLURM_JOB_ID}"
	exit 0
}

stop() { # note what was asked for, and interrupt csg405
	asked=$1
	test -z "$child" || kill -TERM "$child" 2>/dev/null || true
}

# Run csg405 beside this shell, which gets the signal: a shell that waits for a program in front hears of it too late.
run() {
	child='' asked=''
	trap 'stop again' USR1 # near the time limit
	trap 'stop end' TERM   # cancelled, or about to be killed
	$csg405 "$@" &
	child=$!
	test -z "$asked" || kill -TERM "$child" 2>/dev/null || true
	code=0
	wait "$child" || code=$?
	while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the program
		code=0
		wait "$child" || code=$?
	done
	case $asked$code in
	again130 | again143) again ;; # interrupted, or while it was starting
	esac
}

job() { # on a node: "$1" is divided, whole or join, "$2" stages, "$3" parts; the rest are options of csg405
	how=$1 stages=$2 parts=$3
	shift 3
	case $how in
	divided) run run $stages --shard "$SLURM_ARRAY_TASK_ID/$parts" --wait 2 "$@" ;;
	whole) run run $stages --shard 0/1 --wait 2 "$@" ;; # refuses to begin on a part of the run
	join)
		run compact "$@"
		test "$code" -eq 0 || exit "$code"
		run run $stages "$@" # tells the units that failed in all stages, and ends with 3 then
		exit "$code"
		;;
	esac
	test "$code" -eq 3 || exit "$code" # units that failed stop nothing
}

send() { # submit "$1" (a name, sbatch's options) and this script with the rest, after the job $after
	name=$1 how=$2
	shift 2
	id=$(sbatch --parsable --job-name="csg405-$name" --signal="B:USR1@$grace" $how ${OPTIONS:-} \
		${after:+--dependency="afterok:$after"} "$0" "$@" </dev/null)
	after=${id%%;*} # behind it may stand the cluster's name
}

submit() { # "$1" parts; the rest are options of csg405
	parts=$1 after='' said=''
	shift
	test "$csg405" != .venv/bin/csg405 || test -x "$csg405" || make setup EXTRA=web # nodes often have no network
	phases=$($csg405 run $targets --phases "$@")
	while read -r how stages; do
		test "$how" = whole && array='' || array=--array=0-$((parts - 1))
		name=${stages%% *}
		send "${name#stage:}" "$array" "$how" "$stages" "$parts" "$@"
		said="$said $after ($stages),"
	done <<-END
		$phases
	END
	send join '' join "$targets" 1 "$@"
	echo "submitted in $parts parts:$said and $after, which joins them"
}

case ${1:-} in
divided | whole | join) job "$@" ;;
'' | 0* | *[!0-9]*)
	echo "usage: sh docker/slurm.sh PARTS [options of csg405 run]" >&2
	exit 2
	;;
*) submit "$@" ;;
esac
