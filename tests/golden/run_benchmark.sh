#!/bin/sh
#
# Ansible managed
#
# Measures what plan.tsv says, one runner process a line, and leaves one log and one sidecar for each in runs/.
# POSIX sh and the usual small tools; no Python, no root. It needs nothing but this directory, the runners and the models:
#
#   sh run_benchmark.sh start    go on measuring in the background (does nothing when it runs already or is done)
#   sh run_benchmark.sh run      the same in the foreground
#   sh run_benchmark.sh status   what is done and what runs, as key=value lines
#   sh run_benchmark.sh stop     end it, dropping the unfinished run; `start` goes on from there
#
# A run counts when runs/<run>.meta exists: log and sidecar are written elsewhere and renamed, the sidecar last. So a file
# that is there is whole, and whatever ends this script, the next start goes on with the first run that has no sidecar.
set -u
umask 022
LC_ALL=C
export LC_ALL

run_dir=/home/pi/edgebench/campaigns/demo
models_dir=/home/pi/edgebench/campaigns/demo/models
lock=/home/pi/edgebench/campaigns/demo/lock
campaign=demo
host=testhost
max_temperature_c=0 # 0 = any
max_wait_s=0               # for the machine to become fit, in all
min_free_kb=1024

# ---- The runners: what is started for each name in the plan ----

start_runner() { # in the background, output to $log; sets runner_pid and argv (for the sidecar)
  # $flags is meant to split: its words have neither blanks nor patterns.
  # shellcheck disable=SC2086
  case $runner in
    benchmark_model)
      argv=/opt/benchmark_model
      /opt/benchmark_model --graph="$models_dir/$model_file" $flags </dev/null >"$log" 2>&1 &
      ;;
    litert)
      argv='PYTHONPATH=/lib /usr/bin/python3 '"'"'/home/a b/litert.py'"'"''
      PYTHONPATH=/lib /usr/bin/python3 '/home/a b/litert.py' --graph="$models_dir/$model_file" $flags </dev/null >"$log" 2>&1 &
      ;;
    *)
      argv="(no runner '$runner' on this host)"
      { echo "ERROR: no runner '$runner' is installed on this host"; exit 127; } </dev/null >"$log" 2>&1 &
      ;;
  esac
  runner_pid=$!
  argv="$argv --graph='$models_dir/$model_file' $flags"
}

set_runner_version() {
  case $1 in
    benchmark_model) version=abababababab runner_sha256=abababababababababababababababababababababababababababababababab ;;
    litert) version=2.3.0 runner_sha256=- ;;
    *) version=- runner_sha256=- ;;
  esac
}

# ---- Small tools ----

say() { printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"; }

die() { # $1: exit code, then the message
  exit_with=$1
  shift
  say "error: $*"
  state=failed message=$*
  [ -z "$lock_is_ours" ] || write_progress
  exit "$exit_with"
}

set_now() { # now_s: seconds from a clock that nobody sets, with decimals where there are any
  { read -r now_s _ </proc/uptime; } 2>/dev/null || now_s=$(date +%s)
}

set_started() { # started: when process $1 was started, so that a pid given to another process is not mistaken; '' = gone
  started=
  if [ -d /proc/self ]; then
    { read -r stat_line <"/proc/$1/stat"; } 2>/dev/null || return 0
    # After the name in parentheses, which may hold anything: state is field 1, the start time field 20.
    # shellcheck disable=SC2086
    set -- ${stat_line##*)}
    case $1 in Z | X) ;; *) started=${20} ;; esac
  elif kill -0 "$1" 2>/dev/null; then
    started=alive
  fi
}

set_process_alive() { # $1 pid, $2 its start time: alive=yes or no
  set_started "$1"
  if [ -n "$started" ] && [ "$started" = "$2" ]; then alive=yes; else alive=no; fi
}

write_file() { # $1 file, $2 text: whole or not at all; fails when the disk is full
  printf '%s' "$2" 2>/dev/null >"$1.new" && [ "$(cat "$1.new")" = "${2%
}" ] && mv "$1.new" "$1" && return 0
  rm -f "$1.new"
  return 1
}

# ---- One campaign per host at a time ----

lock_is_ours=
begun_s='' measured=0 finished=0 failed=0 total=0 run='-' state=running message= # before there is anything to tell

read_lock() { # lock_pid, lock_started, lock_campaign; fails when there is no lock
  lock_pid='' lock_started='' lock_campaign=''
  { read -r lock_pid lock_started lock_campaign <"$lock"; } 2>/dev/null
  [ -e "$lock" ]
}

set_holder_alive() { # alive=yes when the process that took the lock still runs
  alive=no
  if read_lock && [ -n "$lock_pid" ]; then set_process_alive "$lock_pid" "$lock_started"; fi
}

take_lock() {
  set_started $$
  attempts=0
  # noclobber creates the file in one step, or fails.
  until (set -C && echo "$$ $started $campaign" >"$lock") 2>/dev/null; do
    our_start=$started
    attempts=$((attempts + 1))
    read_lock || die 73 "cannot write the lock $lock: is the directory there, writable, and the disk not full?"
    set_holder_alive
    if [ "$alive" = yes ]; then
      say "error: campaign '$lock_campaign' (process $lock_pid) measures on this host; it holds $lock"
      exit 75
    fi
    # A lock without an owner may be half a moment old: its owner gets a second to write its name.
    if [ -n "$lock_pid" ] || [ "$attempts" -gt 1 ]; then
      say "taking over the lock of process ${lock_pid:-?}, which is gone"
      rm -f "$lock"
    else
      sleep 1
    fi
    started=$our_start
    [ "$attempts" -lt 5 ] || die 73 "cannot take the lock $lock"
  done
  lock_is_ours=yes
}

check_lock() { # two that took over the same stale lock: the one whose name is not in it leaves
  read_lock
  [ "$lock_pid" = $$ ] && return 0
  lock_is_ours=
  say "error: the lock $lock went to process ${lock_pid:-?}"
  exit 75
}

end_orphan() { # a runner that a killed script left would disturb every measurement
  { read -r orphan_pid orphan_started <"$run_dir/tmp/runner"; } 2>/dev/null || return 0
  set_process_alive "$orphan_pid" "$orphan_started"
  if [ "$alive" = yes ]; then
    say "ending process $orphan_pid, which an earlier start left running"
    kill -KILL "$orphan_pid" 2>/dev/null
  fi
}

# ---- Progress: rewritten at every step, read by `status` ----

write_progress() {
  elapsed_s=0 left_s=-
  if [ -n "$begun_s" ]; then
    set_now
    elapsed_s=$((${now_s%%.*} - ${begun_s%%.*}))
    [ "$measured" -eq 0 ] || left_s=$((elapsed_s * (total - finished) / measured))
  fi
  write_file "$run_dir/progress" "state=$state
campaign=$campaign
finished=$finished
failed=$failed
measured=$measured
total=$total
run=$run
elapsed_s=$elapsed_s
left_s=$left_s
message=$message
"
}

# ---- The state of the machine: every fact is optional ----

find_sensors() {
  thermal_zone=
  for zone in /sys/class/thermal/thermal_zone*; do
    { read -r zone_type <"$zone/type"; } 2>/dev/null || continue
    case $zone_type in
      x86_pkg_temp | cpu* | *cpu-thermal*) thermal_zone=$zone && break ;;
      *) [ -n "$thermal_zone" ] || thermal_zone=$zone ;;
    esac
  done
  cpufreq=/sys/devices/system/cpu/cpu0/cpufreq
  vcgencmd=
  if command -v vcgencmd >/dev/null 2>&1; then vcgencmd=vcgencmd; fi
  cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || echo 1)
}

put() { meta="$meta$1=$2
"; }

put_machine_state() { # $1: before or after
  { read -r load1 _ _ processes _ </proc/loadavg; } 2>/dev/null && put "$1.load1" "$load1" && put "$1.running" "${processes%%/*}"
  while read -r key value _; do
    case $key in
      MemAvailable:) put "$1.mem_available_kb" "$value" ;;
      SwapFree:) put "$1.swap_free_kb" "$value" && break ;;
    esac
  done 2>/dev/null </proc/meminfo
  { read -r _ ticks </proc/stat; } 2>/dev/null && put "$1.cpu_ticks" "$ticks"
  { read -r value <"$cpufreq/scaling_governor"; } 2>/dev/null && put "$1.governor" "$value"
  { read -r value <"$cpufreq/scaling_cur_freq"; } 2>/dev/null && put "$1.cpu_mhz" "$((value / 1000))"
  if [ -n "$thermal_zone" ]; then
    { read -r value <"$thermal_zone/temp"; } 2>/dev/null && put "$1.temperature_c" "$((value / 1000)).$((value % 1000 / 100))"
  fi
  [ -z "$vcgencmd" ] || put "$1.throttled" "$(vcgencmd get_throttled 2>/dev/null | cut -d= -f2)"
  # `times` counts the shell's own children, so it must not run in a subshell.
  times >"$run_dir/tmp/times" 2>/dev/null
  { read -r _ && read -r value; } <"$run_dir/tmp/times" && put "$1.children_times" "$value"
}

set_unfit() { # unfit: why this moment is a bad one to measure; '' = fit
  unfit=
  if [ "$max_temperature_c" -gt 0 ] && [ -n "$thermal_zone" ]; then
    { read -r value <"$thermal_zone/temp"; } 2>/dev/null || value=0
    [ "$value" -le $((max_temperature_c * 1000)) ] || unfit="$((value / 1000)) C, above $max_temperature_c C"
  fi
  { read -r _ _ _ processes _ </proc/loadavg; } 2>/dev/null || return 0
  others=$((${processes%%/*} - 1)) # one of the runnable processes is this shell
  case $threads in '' | *[!0-9]*) wanted=1 ;; *) wanted=$threads ;; esac
  [ "$wanted" -lt "$cpus" ] || wanted=$cpus
  [ "$others" -le $((cpus - wanted)) ] || unfit="$others other processes wanted the $cpus CPUs, $wanted needed"
}

wait_until_fit() { # the campaign waits max_wait_s in all: a machine that never becomes fit is measured, and it is said
  waited_s=0
  set_unfit
  if [ -n "$unfit" ]; then # what only passed by, such as the controller's look, is gone in a moment
    sleep 0.2 2>/dev/null || sleep 1
    set_unfit
  fi
  while [ -n "$unfit" ] && [ "$max_wait_s" -gt 0 ]; do
    if [ "$waited_s" -eq 0 ]; then state=waiting message=$unfit && write_progress; fi
    sleep 1
    waited_s=$((waited_s + 1)) max_wait_s=$((max_wait_s - 1))
    set_unfit
  done
  state=running message=
}

# ---- One run ----

watchdog() { # ends the runner after timeout_s. Nobody is killed once the script itself is gone.
  sleep "$timeout_s" &
  echo $! >"$run_dir/tmp/sleeper"
  wait $!
  kill -0 $$ 2>/dev/null || exit 0
  : >"$run_dir/tmp/timed_out"
  kill -TERM "$runner_pid" 2>/dev/null
  sleep 5
  kill -KILL "$runner_pid" 2>/dev/null
}

end_watchdog() { # KILL: a shell that was forked this moment can lose a TERM to its parent's trap
  [ -n "$watchdog_pid" ] || return 0
  kill -KILL "$watchdog_pid" 2>/dev/null
  wait "$watchdog_pid" 2>/dev/null
  watchdog_pid=''
  { read -r sleeper <"$run_dir/tmp/sleeper"; } 2>/dev/null && kill -KILL "$sleeper" 2>/dev/null
}

measure() {
  log=$run_dir/tmp/run.log
  rm -f "$run_dir/tmp/"*
  meta=
  for key in campaign host run block repetition model variant runner threads delegate batch_size input_size timeout_s model_file model_sha256; do
    eval "put $key \"\$$key\""
  done
  set_runner_version "$runner"
  put runner_version "$version"
  put runner_sha256 "$runner_sha256"
  wait_until_fit
  put waited_s "$waited_s"
  [ -z "$unfit" ] || put unfit "$unfit"
  { read -r value </proc/sys/kernel/random/boot_id; } 2>/dev/null && put boot_id "$value"
  write_progress
  put_machine_state before
  put start_utc "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  set_now
  put start_uptime_s "$now_s"

  start_runner
  set_started "$runner_pid"
  echo "$runner_pid $started" >"$run_dir/tmp/runner" 2>/dev/null
  watchdog >/dev/null 2>&1 &
  watchdog_pid=$!
  wait "$runner_pid"
  exit_code=$?
  set_now
  put end_uptime_s "$now_s"
  end_watchdog
  runner_pid=''

  put end_utc "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  put argv "$argv"
  put exit_code "$exit_code"
  if [ -e "$run_dir/tmp/timed_out" ]; then put timed_out 1; else put timed_out 0; fi
  put_machine_state after
  set_free_kb
  if [ "$free_kb" -lt 64 ]; then # the runner may not have noticed that its last lines found no room
    failure="disk full while logging: $free_kb kB free in $run_dir"
  else
    failure=
  fi
  publish
}

publish() { # the sidecar last: it makes the run count
  meta="schema=1
$meta"
  [ -z "$failure" ] || put failure "$failure"
  if ! write_file "$run_dir/tmp/run.meta" "${meta}complete=1
"; then # the log gives way, so that the failure can be recorded
    : >"$log"
    failure="disk full while logging: the log could not be kept"
    put failure "$failure"
    write_file "$run_dir/tmp/run.meta" "${meta}complete=1
" || die 73 "disk full: cannot write to $run_dir; make room and start again, nothing that was measured is lost"
  fi
  if ! { mv "$log" "$run_dir/runs/$run.log" && mv "$run_dir/tmp/run.meta" "$run_dir/runs/$run.meta"; }; then
    die 73 "cannot write to $run_dir/runs; nothing that was measured is lost"
  fi
  finished=$((finished + 1)) measured=$((measured + 1))
  if [ "$exit_code" -ne 0 ] || [ -n "$failure" ]; then
    failed=$((failed + 1))
    say "run $run failed: exit code $exit_code${failure:+, $failure}"
  fi
}

set_free_kb() { # free_kb in run_dir; as much as anybody wants where df cannot tell
  # shellcheck disable=SC2046
  set -- $(df -Pk "$run_dir" 2>/dev/null | tail -n 1)
  case ${4:-} in '' | *[!0-9]*) free_kb=999999999 ;; *) free_kb=$4 ;; esac
}

# ---- The campaign ----

stop_by_signal() { # $1: exit code
  trap '' TERM INT HUP
  end_watchdog
  [ -z "$runner_pid" ] || kill -KILL "$runner_pid" 2>/dev/null
  state=stopped message="stopped; start it again to go on"
  write_progress
  say "stopped after $finished of $total runs"
  trap - EXIT # mksh would exit with the trap's own code
  leave
  exit "$1"
}

leave() {
  [ -z "$lock_is_ours" ] || rm -f "$lock"
}

count_runs() {
  total=0 finished=0 failed=0
  while IFS=$tab read -r name _; do
    [ "$name" != run ] || continue
    total=$((total + 1))
    [ -e "$run_dir/runs/$name.meta" ] || continue
    finished=$((finished + 1))
    if ! grep -q '^exit_code=0$' "$run_dir/runs/$name.meta" || grep -q '^failure=' "$run_dir/runs/$name.meta"; then
      failed=$((failed + 1))
    fi
  done <"$run_dir/plan.tsv"
}

run_campaign() {
  runner_pid='' watchdog_pid=''
  tab=$(printf '\t')
  [ -r "$run_dir/plan.tsv" ] || die 66 "there is no plan to read: $run_dir/plan.tsv"
  mkdir -p "$run_dir/runs" "$run_dir/tmp" || die 73 "cannot write to $run_dir"
  take_lock
  trap leave EXIT
  trap 'stop_by_signal 143' TERM
  trap 'stop_by_signal 130' INT
  trap 'stop_by_signal 129' HUP
  end_orphan
  count_runs
  find_sensors
  set_now
  begun_s=$now_s
  say "campaign '$campaign' on '$host': $finished of $total runs are there already"
  {
    read -r _ # the header
    # shellcheck disable=SC2034 # measure writes each of these to the sidecar, by name
    while IFS=$tab read -r run block repetition model variant runner threads delegate batch_size input_size timeout_s model_file model_sha256 flags; do
      [ ! -e "$run_dir/runs/$run.meta" ] || continue
      check_lock
      set_free_kb
      [ "$free_kb" -ge "$min_free_kb" ] ||
        die 73 "disk full: $free_kb kB free in $run_dir, at least $min_free_kb kB wanted; make room and start again, nothing that was measured is lost"
      [ "$flags" != - ] || flags=
      measure
    done
  } <"$run_dir/plan.tsv"
  run='-' state='done' message=
  write_progress
  write_file "$run_dir/DONE" "finished=$finished
failed=$failed
total=$total
" || die 73 "disk full: cannot write $run_dir/DONE"
  rm -rf "$run_dir/tmp"
  say "done: $finished runs, $failed of them failed"
}

case ${1:-run} in
  run)
    [ ! -e "$run_dir/DONE" ] || exit 0
    run_campaign
    ;;
  start)
    [ ! -e "$run_dir/DONE" ] || exit 0
    set_holder_alive
    if [ "$alive" = yes ] && [ "$lock_campaign" = "$campaign" ]; then exit 0; fi
    if [ "$alive" = yes ]; then
      echo "error: campaign '$lock_campaign' (process $lock_pid) measures on this host; it holds $lock"
      exit 75
    fi
    detach=
    if command -v setsid >/dev/null 2>&1; then detach=setsid; fi
    rm -f "$run_dir/progress"
    # shellcheck disable=SC2086 # no setsid, no word
    nohup $detach sh "$run_dir/run_benchmark.sh" run </dev/null >>"$run_dir/script.log" 2>&1 &
    ;;
  status)
    set_holder_alive
    [ "$lock_campaign" = "$campaign" ] || alive=no
    if [ -e "$run_dir/DONE" ]; then echo is_done=yes; else echo is_done=no; fi
    echo "alive=$alive"
    cat "$run_dir/progress" 2>/dev/null
    exit 0
    ;;
  stop)
    set_holder_alive
    [ "$alive" = yes ] && [ "$lock_campaign" = "$campaign" ] || exit 0
    kill -TERM "$lock_pid"
    while [ "$alive" = yes ]; do
      sleep 1
      set_holder_alive
    done
    echo "stopped $campaign"
    ;;
  *)
    echo "usage: sh run_benchmark.sh [run|start|status|stop]" >&2
    exit 64
    ;;
esac

