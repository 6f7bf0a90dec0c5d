#!/bin/sh
# pip.sh PYTHON VENV ARGUMENTS...: `pip install ARGUMENTS` into an environment, which PYTHON makes where there is none. It gives a sign
# of life: a line that changes on a terminal, elsewhere one every ten seconds. What pip said is told where it failed. Nothing is
# compiled: bytecode of what is never imported would take 140 MB and half of the time; Python compiles what is, when it is.
python=$1 venv=$2
shift 2
log=$(mktemp) || exit 1
{
	[ -x "$venv/bin/python" ] || { echo "Making $venv" && "$python" -m venv "$venv"; } &&
		exec "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile --progress-bar off "$@"
} >"$log" 2>&1 &
pip=$!
trap 'kill "$pip" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
packages() { find "$venv"/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' 2>/dev/null | wc -l; }
before=$(packages) began=$(date +%s) said=0 turn=0
if [ -t 1 ]; then width=$(stty size 2>/dev/null </dev/tty | cut -d ' ' -f 2); fi
[ "${width:-0}" -gt 20 ] || width=80

# What pip is at: the package that it looks for or fetches, of how much so far; or how many of all are in place.
doing() {
	awk -v there="$(($(packages) - before))" '
		function megabytes(words) {
			if (!match(words, /\([0-9.]+ [kMG]B\)/)) return 0
			split(substr(words, RSTART + 1, RLENGTH - 2), part, " ")
			return part[1] * (part[2] == "kB" ? 0.001 : part[2] == "GB" ? 1000 : 1)
		}
		/^Making/ { now = "making " $2 }
		/^ *(Collecting|Requirement already)/ { now = $1 == "Collecting" ? "looking for " $2 : now }
		/^ *Downloading/ { fetched += megabytes($0); n = split($2, path, "/"); split(path[n], name, "-"); now = "fetching " name[1] }
		/^ *Using cached/ { n = split($3, path, "/"); split(path[n], name, "-"); now = "found " name[1] }
		/^ *(Preparing|Building|Installing build)/ { now = "building" }
		/^Installing collected packages/ { all = NF - 3; now = "" }
		END {
			if (all) printf "putting packages in place, %d of %d", there < 0 ? 0 : there < all ? there : all, all
			else printf "%s", now == "" ? "starting" : now
			if (fetched) printf ", %.0f MB fetched", fetched
		}' "$log"
}

while kill -0 "$pip" 2>/dev/null; do
	seconds=$(($(date +%s) - began))
	if [ -t 1 ]; then
		turn=$(((turn + 1) % 4))
		case $turn in 0) mark='|' ;; 1) mark='/' ;; 2) mark='-' ;; *) mark=\\ ;; esac
		printf '\r\033[K%.*s' "$((width - 1))" "  $mark $(doing), $seconds s"
	elif [ "$seconds" -ge $((said + 10)) ]; then
		said=$seconds
		echo "  $(doing), $seconds s"
	fi
	sleep 1
done
[ ! -t 1 ] || printf '\r\033[K'
wait "$pip"
code=$?
[ "$code" -eq 0 ] || cat "$log" >&2
rm -f "$log"
exit "$code"
