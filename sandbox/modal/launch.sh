# Starts a runner in this sandbox, in place of any other. Arguments: the directory, the program, the start id, and "restore" if it is not wanted
# where none has worked before. The boot order is on standard input; nothing in it is secret.
exec 2>&1
umask 022
dir=$1 program=$2 start=$3 how=$4

# A runner is known by its environment. Prints "PID START" for each.
runners() { grep -aHos 'OPENINSPECT_START=[A-Za-z0-9_-]*' /proc/[0-9]*/environ | sed 's|^/proc/||; s|/environ:OPENINSPECT_START=| |'; }
# Whatever runs for one: programs inherit this.
marked() { grep -als "OPENINSPECT_SANDBOX=$dir" /proc/[0-9]*/environ | sed 's|^/proc/||; s|/environ$||'; }

order=$(mktemp) || exit 1
trap 'rm -f "$order"' EXIT
cat >"$order" || exit 1

runners | grep -q " $start\$" && exit 0
[ -x "$program" ] || exit 10
[ "$how" != restore ] || [ -d "$dir/run" ] || exit 11

pids=$(runners | cut -d' ' -f1)
if [ -n "$pids" ]; then
	kill -TERM $pids
	n=0
	while [ -n "$(runners)" ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n + 1)); done
fi
while pids=$(marked); [ -n "$pids" ]; do
	kill -KILL $pids
	sleep 0.1
done

mkdir -p "$dir/run" "$dir/home" && chmod 700 "$dir/run" && cp "$order" "$dir/run/boot.json" || exit 1
cd /
OPENINSPECT_SANDBOX=$dir OPENINSPECT_START=$start USER=sandbox HOME=$dir/home setsid "$program" runner <"$dir/run/boot.json" >"$dir/run/runner.log" 2>&1 &

# It can be found by its environment as soon as it is the program.
until runners | grep -q " $start\$"; do
	if ! kill -0 $! || grep -q '^State:.[ZX]' /proc/$!/status; then
		tail -c 2000 "$dir/run/runner.log"
		exit 1
	fi
	sleep 0.02
done
