#!/bin/sh
#
# Ansible managed
#
# Measures what plan.tsv says, one runner process a line, and leaves one log and one sidecar for each in runs/.
# POSIX sh and the usual small tools; no Python, and no root unless settings of the machine are to be changed. It needs
# nothing but this directory, the runners and the models:
#
#   sh run_benchmark.sh start    go on measuring in the background (does nothing when it runs already or is done)
#   sh run_benchmark.sh run      the same in the foreground
#   sh run_benchmark.sh status   what is done and what runs, as key=value lines
#   sh run_benchmark.sh stop     end it, dropping the unfinished run; `start` goes on from there
#   sh run_benchmark.sh restore  put back what a script that was killed had changed on the machine
#
# A run counts when runs/<run>.meta exists: log and sidecar are written elsewhere, synced, and renamed, the sidecar last. So
# a file that is there is whole, and whatever ends this script, the next start goes on with the first run that has no sidecar.
#
# A run that the machine disturbed is kept, with `invalid=<reason>` in its sidecar. When the plan is through, such runs, and
# failed ones of configurations that worked at least once, are repeated as <run>.retry1, <run>.retry2, ...
#
# A run of phase evaluate says what the model takes images for. That is the same on a machine that is hot, busy or throttled, so
# it does not wait for that to pass, nor is it invalid for it.
#
# With a maximum of repetitions above the minimum a configuration whose mean and speedups are known well enough, or that had no
# valid run so far, leaves the blocks that follow, and stopping.tsv says when and why. After a pilot, the first lines of the plan,
# iterations.tsv says how many iterations a process has from then on. Both stand once they are written. They need awk; without
# it all blocks are run.
#
# A run that does not fit in memory must not take the machine down, nor measure how fast it swaps. It is not started when less is
# available than it needs at least, and ended when little is left; its configuration leaves the plan at once, with awk or without.
#
# Where the machine has an energy meter, its readings from before a run to after it are in the sidecar, as they were read, and
# those of the idle machine in idle.tsv.
#
# Where /proc tells, the sidecar has samples of the memory and the CPU time of the runner's processes.
#
# A phone, which is what has Android's dumpsys, also tells of its battery, its heat and its screen. It is kept awake while
# it is plugged in, for what sleeps does not measure, and is left in peace when its battery runs low.
#
# A machine may have to be given back. The file `until`, which may come, change and go at any time, then holds the moment after
# which no run may be going, in seconds since 1970 by this machine's clock, and behind it in words when the machine goes back.
set -u
umask 077
LC_ALL=C
export LC_ALL

run_dir=/home/pi/edgebench/campaigns/demo
models_dir=/home/pi/edgebench/campaigns/demo/models
lock=/home/pi/edgebench/campaigns/demo/lock # who measures on this host; $lock.runner, .watchdog: the processes of this moment
control=/home/pi/edgebench/campaigns/demo/control # what was changed on this machine, and what it was before
campaign=demo
host=testhost
sys=/sys
proc=/proc
max_temperature_c=0 # 0 = any
max_cooldown_s=0 # for heat and throttling to pass, before each run
max_wait_s=0 # for other work to pass, in the whole campaign
max_steal_percent=10 # of all CPU time; 0 = any
max_drift_percent=5 # between the medians of a run's halves; 0 = any
min_cpu_percent=90 # of the timed part's wall time, with one thread; 0 = any
retries=2
min_repetitions=2
max_repetitions=2 # above the minimum: a configuration may leave in between
target_percent=1.0 # half width of the 95 % intervals at which it does
baseline=float32 # the variant that speedups are against
iterations=fixed # of a process: auto = chosen from the pilot, fixed = as flags say
min_free_kb=1024
min_available_mb=auto # of memory, while a runner lasts; auto = by the machine's, 0 = any
min_battery_percent=20 # 0 = any
max_battery_temperature_c=0 # 0 = any
stay_awake=yes
energy=auto # auto, none, or the meter that must be there
energy_command='' # prints a number of energy_command_unit, w or j
energy_command_unit=w
energy_interval_s=1 # between two readings
energy_unlock=no # let everybody read RAPL's counters meanwhile
idle_s=0 # how long the idle machine's power is looked at, once a block; 0 = not at all
resources_s=1 # between two looks at memory and CPU time of the runner's processes; 0 = none
governor='' # '' = as it is
disable_turbo=no
pin_cpus='' # '' = any
nice=0
longest_look_s=5 # a watchdog that took longer for one look, of a second, was asleep
samples_at_a_pace=60 # of memory and CPU time; then twice the time is between two, so that a run of hours has some hundred
max_swapped_kb=65536 # more in the swap than before the run: what is measured is the disk
tab=$(printf '\t')
newline='
'
# mksh keeps what follows a << in a file, and a phone has no /tmp.
[ -w "${TMPDIR:-/tmp}" ] || { TMPDIR=$run_dir && export TMPDIR; }

# ---- The runners: what is started for each name in the plan ----

be_runner() { # becomes the runner; sets argv (for the sidecar) where $1 is `tell`
  # $launcher (setsid, taskset) and $flags are meant to split: their words have neither blanks nor patterns.
  # shellcheck disable=SC2086
  case $runner in
    benchmark_model)
      [ "$1" != tell ] || { argv=/opt/benchmark_model && return; }
      exec $launcher /opt/benchmark_model --graph="$models_dir/$model_file" $flags
      ;;
    litert)
      [ "$1" != tell ] || { argv='PYTHONPATH=/lib /usr/bin/python3 '"'"'/home/a b/litert.py'"'"'' && return; }
      export PYTHONPATH=/lib
      exec $launcher /usr/bin/python3 '/home/a b/litert.py' --graph="$models_dir/$model_file" $flags
      ;;
    *)
      [ "$1" != tell ] || { argv="(no runner '$runner' on this host)" && return; }
      echo "ERROR: no runner '$runner' is installed on this host"
      exit 127
      ;;
  esac
}

start_runner() { # in the background, output to $log; sets runner_pid
  newest_before=${!:-}
  (
    # Its name is on record before it is a runner, so that no runner is ever unknown to who comes after a killed script.
    if read_stat self; then
      [ "$stat_parent" = $$ ] || exit 125
      { echo "$stat_pid $started $boot_id" >"$lock.runner"; } 2>/dev/null
      read_stat self
      [ "$stat_parent" = $$ ] || exit 125
      # shellcheck disable=SC2086
      [ "$nice" -eq 0 ] || $nice_as_root renice -n "$nice" -p "$stat_pid" >/dev/null 2>&1
    fi
    # When memory runs out, the kernel takes this process, and not whatever else is on the machine.
    { echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
    if [ -n "$energy_counters" ]; then
      EDGEBENCH_ENERGY_COUNTERS=$energy_counters
      export EDGEBENCH_ENERGY_COUNTERS
    fi
    EDGEBENCH_PROCESSES=$run_dir/tmp/processes
    export EDGEBENCH_PROCESSES
    be_runner now
  ) </dev/null >"$log" 2>&1 &
  runner_pid=$!
}

set_runner_version() {
  case $1 in
    benchmark_model) version=abababababab runner_sha256=abababababababababababababababababababababababababababababababab ;;
    litert) version=2.3.0 runner_sha256=- ;;
    *) version=- runner_sha256=- ;;
  esac
}

end_outside() { # what runners have running that is none of their processes, as an app is, and outlives a kill of these
  :
}

set_family() { # family: the processes that a run is about; what a runner has outside of its own, it names itself
  family=$runner_pid
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
  { read -r now_s _ <"$proc/uptime"; } 2>/dev/null || now_s=$(date +%s)
}

set_boot_id() { # a new one at every boot: what was noted under another one is no longer true; - = not known
  { read -r boot_id <"$proc/sys/kernel/random/boot_id"; } 2>/dev/null && [ -n "$boot_id" ] && return
  boot_id=$(getprop ro.boottime.servicemanager 2>/dev/null) # nanoseconds after the boot, of a phone's first service
  boot_id=${boot_id:--}
}

read_stat() { # $1: a pid or self. Sets stat_pid, stat_parent and started; fails when there is no such process
  { read -r stat_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # After the name in parentheses, which may hold anything: state, parent, ..., the start time as field 20.
  # shellcheck disable=SC2086
  set -- ${stat_line##*)}
  stat_pid=${stat_line%% *} stat_parent=$2 started=${20}
  case $1 in Z | X) return 1 ;; esac
}

set_started() { # started: when process $1 was started, so that a pid given to another process is not mistaken; '' = gone
  started=
  if [ -d /proc/self ]; then
    read_stat "$1" || started=
  elif kill -0 "$1" 2>/dev/null; then
    started=alive
  fi
}

set_process_alive() { # $1 pid, $2 its start time, $3 the boot it ran in: alive=yes or no
  alive=no
  [ "$3" = "$boot_id" ] || return 0
  set_started "$1"
  if [ -n "$started" ] && [ "$started" = "$2" ]; then alive=yes; fi
}

signal_tree() { # signal $1 to process $2 and its children: with setsid it leads a group of its own
  kill "-$1" "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null
}

write_file() { # $1 file, $2 text: whole or not at all; fails when the disk is full. $3 `durable`: also after a power cut
  if printf '%s' "$2" 2>/dev/null >"$1.new" && [ "$(cat "$1.new")" = "${2%"$newline"}" ]; then
    [ -z "${3:-}" ] || make_durable "$1.new"
    mv "$1.new" "$1" && return 0
  fi
  rm -f "$1.new"
  return 1
}

make_durable() { sync "$@" 2>/dev/null || sync; }

set_difference() { # difference: counter $1 - counter $2, by their last nine digits, since mksh counts in 32 bits
  late=000000000$1 early=000000000$2
  difference=$((1${late#"${late%?????????}"} - 1${early#"${early%?????????}"}))
  [ "$difference" -ge 0 ] || difference=$((difference + 1000000000))
  [ "$difference" -lt 500000000 ] || difference=0 # it went back, as iowait may
}

# ---- Helpers: processes of this script that sleep beside it, and end with it ----

doze() { # $1: seconds, in helper $2, in a way that end_helper can end
  sleep "$1" &
  trap 'kill -KILL $!; exit 0' TERM
  echo $! 1<>"$run_dir/tmp/$2.sleeper" # over what was there: to empty it first would make some file systems write each time
  wait $!
}

is_left_behind() { # in a helper: the script that it belongs to is gone
  if read_stat self; then [ "$stat_parent" != $$ ]; else ! kill -0 $$ 2>/dev/null; fi
}

end_helper() { # $1 pid ('' = none), $2 name. KILL: a shell that was forked this moment can lose a TERM to its parent's trap
  [ -n "$1" ] || return 0
  looks=0 # a helper of this moment has not yet said who sleeps for it
  until [ -s "$run_dir/tmp/$2.sleeper" ] || [ "$looks" -ge 20 ]; do
    looks=$((looks + 1))
    sleep 0.02 2>/dev/null || sleep 1
  done
  { read -r sleeper <"$run_dir/tmp/$2.sleeper"; } 2>/dev/null || sleeper=
  if read_stat "${sleeper:-none}" && [ "$stat_parent" != "$1" ]; then sleeper=; fi # slept enough, and the pid is another's now
  # shellcheck disable=SC2086
  kill -KILL "$1" $sleeper 2>/dev/null
  wait "$1" 2>/dev/null
}

# ---- One campaign per host at a time ----

lock_is_ours='' in_time='' runner_pid='' watchdog_pid='' keeper_pid='' newest_before=''
run='-' state=running message='' # before there is anything to tell
notice='' at_most=no stopped=' ' too_big=' ' chosen=' ' last_block=0 idle_due=no
begun_s='' longest_s=0 measured=0 finished=0 failed=0 invalid=0 repeated=0 due=0 total=0

read_lock() { # lock_pid, lock_started, lock_boot, lock_campaign; fails when there is no lock
  lock_pid='' lock_started='' lock_boot='' lock_campaign=''
  { read -r lock_pid lock_started lock_boot lock_campaign <"$lock"; } 2>/dev/null
  [ -e "$lock" ]
}

set_holder_alive() { # alive=yes when the process that took the lock still runs
  alive=no
  if read_lock && [ -n "$lock_pid" ]; then set_process_alive "$lock_pid" "$lock_started" "$lock_boot"; fi
}

refuse() { # another one measures
  say "error: campaign '$lock_campaign' (process $lock_pid) measures on this host; it holds $lock"
  exit 75
}

take_lock() {
  set_started $$
  our_start=$started attempts=0
  # noclobber creates the file in one step, or fails.
  until (set -C && echo "$$ $our_start $boot_id $campaign" >"$lock") 2>/dev/null; do
    attempts=$((attempts + 1))
    read_lock || die 73 "cannot write the lock $lock: is the directory there, writable, and the disk not full?"
    set_holder_alive
    [ "$alive" = no ] || refuse
    # A lock without an owner may be half a moment old: its owner gets a second to write its name.
    if [ -n "$lock_pid" ] || [ "$attempts" -gt 1 ]; then
      say "taking over the lock of process ${lock_pid:-?} (campaign '$lock_campaign'), which is gone"
      rm -f "$lock"
    else
      sleep 1
    fi
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

end_orphan() { # a runner that a killed script left, of whatever campaign, would disturb every measurement
  read_identity "$lock.watchdog" && [ "$alive" = yes ] && kill -TERM "$orphan" 2>/dev/null
  if read_identity "$lock.runner"; then
    end_orphaned_runner
    end_outside
  fi
  rm -f "$lock.runner" "$lock.watchdog"
}

read_identity() { # orphan, alive: whether the process whose pid, start time and boot file $1 holds still runs
  { read -r orphan orphan_started orphan_boot <"$1"; } 2>/dev/null && [ -n "$orphan" ] || return 1
  set_process_alive "$orphan" "$orphan_started" "$orphan_boot"
}

end_orphaned_runner() {
  if [ "$alive" = yes ]; then
    say "ending process $orphan, which an earlier start left running"
    signal_tree KILL "$orphan"
    looks=0
    while [ "$alive" = yes ] && [ "$looks" -lt 50 ]; do
      sleep 0.1 2>/dev/null || sleep 1
      looks=$((looks + 1))
      set_process_alive "$orphan" "$orphan_started" "$orphan_boot"
    done
    [ "$alive" = no ] || say "process $orphan cannot be ended and may disturb what is measured now"
  elif [ "$orphan_boot" = "$boot_id" ] && [ -z "$started" ] && kill -KILL "-$orphan" 2>/dev/null; then
    say "ending what the runner $orphan of an earlier start left running"
  fi
}

# ---- Progress: rewritten at every step, read by `status` ----

write_progress() {
  elapsed_s=0 left_s=-
  if [ -n "$begun_s" ]; then
    set_now
    elapsed_s=$((${now_s%%.*} - ${begun_s%%.*}))
    [ "$measured" -eq 0 ] || left_s=$((elapsed_s * (total - finished + due) / measured))
  fi
  write_file "$run_dir/progress" "state=$state
campaign=$campaign
finished=$finished
failed=$failed
invalid=$invalid
repeated=$repeated
measured=$measured
total=$total
at_most=$at_most
run=$run
elapsed_s=$elapsed_s
left_s=$left_s
message=$message
"
}

# ---- The state of the machine: every fact is optional ----

find_sensors() {
  is_phone=no
  ! command -v dumpsys >/dev/null 2>&1 || is_phone=yes
  thermal_zone=
  for zone in "$sys"/class/thermal/thermal_zone*; do
    { read -r zone_type <"$zone/type" && read -r _ <"$zone/temp"; } 2>/dev/null || continue
    case $zone_type in
      x86_pkg_temp | cpu* | *cpu-thermal* | mtktscpu) thermal_zone=$zone && break ;;
      soc_thermal | tsens_tz_sensor* | BIG) [ -n "$thermal_zone" ] || thermal_zone=$zone ;;
      *) [ -n "$thermal_zone" ] || [ "$is_phone" = yes ] || thermal_zone=$zone ;; # a phone's first may be its battery
    esac
  done
  # Of the fastest cores, which are the last on many a phone.
  cpufreq=$sys/devices/system/cpu/cpu0/cpufreq fastest=0
  for file in "$sys"/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq; do
    { read -r value <"$file"; } 2>/dev/null && [ "$value" -gt "$fastest" ] || continue
    fastest=$value cpufreq=${file%/*}
  done
  pi_throttled=$sys/devices/platform/soc/soc:firmware/get_throttled
  in_time='' vcgencmd='' thermal_status='' cpu_temperature='' battery_temperature=''
  # By what it prints, like all that runs in time: toybox's exit codes of what ends at once have been seen to be wrong.
  [ "$(timeout 2 echo yes 2>/dev/null)" != yes ] || in_time='timeout 2'
  if command -v vcgencmd >/dev/null 2>&1; then # it has been seen to hang, and to be there without working
    vcgencmd="$in_time vcgencmd"
    ask_pi get_throttled || vcgencmd=
  fi
  throttle_counters=
  for counter in "$sys"/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count; do
    case $counter in
      */core_throttle_count | */package_throttle_count)
        [ ! -r "$counter" ] || throttle_counters="$throttle_counters$counter$newline"
        ;;
    esac
  done
  turbo_switch=
  for switch in "$sys"/devices/system/cpu/intel_pstate/no_turbo "$sys"/devices/system/cpu/cpufreq/boost; do
    [ -n "$turbo_switch" ] || [ ! -r "$switch" ] || turbo_switch=$switch
  done
  cpus=$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null) || { # a phone before Android 10 has neither
    set -- "$sys"/devices/system/cpu/cpu[0-9]*
    cpus=$#
  }
}

ask_pi() { # answer: what the firmware says to $@, behind the `=`; fails where nobody answers
  [ -n "$vcgencmd" ] || return 1
  # shellcheck disable=SC2086
  answer=$($vcgencmd "$@" 2>/dev/null)
  case $answer in error=*) return 1 ;; *=?*) answer=${answer#*=} ;; *) return 1 ;; esac
}

set_throttled() { # throttled: bits 0-3 now, 16-19 since boot: under-voltage, capped, throttled, soft limit; '' = not known
  throttled=
  # The firmware first: its twin in /sys has been seen to read 0 while it did not.
  if ask_pi get_throttled; then
    throttled=$answer
  elif { read -r answer <"$pi_throttled"; } 2>/dev/null; then
    throttled=0x${answer#0x}
  fi
  case ${throttled#0x} in '' | *[!0-9a-fA-F]*) throttled= ;; esac
}

set_temperature() { # millidegrees; '' = not known
  temperature=
  if [ -n "$thermal_zone" ]; then
    { read -r temperature <"$thermal_zone/temp"; } 2>/dev/null || temperature=
  elif ask_pi measure_temp; then # 48.3'C
    answer=${answer%"'"*}
    case $answer in *.[0-9]) temperature=${answer%.*}${answer#*.}00 ;; esac
  fi
  case $temperature in *[!0-9]*) temperature= ;; esac
  [ "$is_phone" = yes ] || return 0
  case $temperature in # some kernels of phones say it in degrees, or in tenths of them
    '') temperature=$cpu_temperature ;;
    ? | ??) temperature=${temperature}000 ;;
    ???) temperature=${temperature}00 ;;
  esac
}

set_turbo() { # turbo: on, off; '' = not known
  turbo=
  [ -n "$turbo_switch" ] && { read -r value <"$turbo_switch"; } 2>/dev/null || return 0
  case ${turbo_switch##*/}=$value in no_turbo=0 | boost=1) turbo=on ;; no_turbo=1 | boost=0) turbo=off ;; esac
}

put() { meta="$meta$1=$2$newline"; }

put_known() { [ -z "$2" ] || put "$1" "$2"; }

set_memory() { # total_kb, available_kb, swap_free_kb; '' = not known
  total_kb='' available_kb='' swap_free_kb=''
  while read -r key value _; do
    case $key in
      MemTotal:) total_kb=$value ;;
      MemAvailable:) available_kb=$value ;;
      SwapFree:) swap_free_kb=$value && break ;;
    esac
  done 2>/dev/null <"$proc/meminfo"
}

# Sets ticks, available_kb, swap_free_kb, pages_swapped, oom_kills, throttle_count, current_governor and turbo too, by which a
# run is judged. What the gate before a run has just seen (throttled) is not asked again.
put_machine_state() { # $1: before or after
  # What a phone's services do to answer shall not look like other work during the run.
  [ "$is_phone/$1" != yes/before ] || put_phone_state before
  { read -r load1 _ _ processes _ <"$proc/loadavg"; } 2>/dev/null && put "$1.load1" "$load1" && put "$1.running" "${processes%%/*}"
  set_memory
  put_known "$1.mem_available_kb" "$available_kb"
  put_known "$1.swap_free_kb" "$swap_free_kb"
  pages_swapped='' oom_kills=''
  while read -r key value; do
    case $key in
      pswpin) pages_swapped=$value ;;
      pswpout) pages_swapped=$((pages_swapped + value)) ;;
      oom_kill) oom_kills=$value && break ;;
    esac
  done 2>/dev/null <"$proc/vmstat"
  [ "$is_phone" = no ] || pages_swapped='' # its swap is compressed memory, where idle apps are put at any time
  put_known "$1.pages_swapped" "$pages_swapped"
  put_known "$1.oom_kills" "$oom_kills"
  { read -r _ ticks <"$proc/stat"; } 2>/dev/null || ticks=
  put_known "$1.cpu_ticks" "$ticks"
  [ "$is_phone/$1" != yes/after ] || put_phone_state after
  { read -r current_governor <"$cpufreq/scaling_governor"; } 2>/dev/null || current_governor=
  put_known "$1.governor" "$current_governor"
  if { read -r value <"$cpufreq/scaling_cur_freq"; } 2>/dev/null; then
    put "$1.cpu_mhz" "$((value / 1000))"
  elif ask_pi measure_clock arm; then
    put "$1.cpu_mhz" "${answer%??????}"
  fi
  set_turbo
  put_known "$1.turbo" "$turbo"
  throttle_count=
  while read -r counter; do
    { read -r value <"$counter"; } 2>/dev/null && throttle_count=$((throttle_count + value))
  done <<END
$throttle_counters
END
  put_known "$1.thermal_throttle_count" "$throttle_count"
  set_temperature
  [ -z "$temperature" ] || put "$1.temperature_c" "$((temperature / 1000)).$((temperature % 1000 / 100))"
  [ "$1" = before ] || set_throttled
  put_known "$1.throttled" "$throttled"
  # `times` counts the shell's own children, so it must not run in a subshell.
  times >"$run_dir/tmp/times" 2>/dev/null
  { read -r _ && read -r value; } <"$run_dir/tmp/times" && put "$1.children_times" "$value"
}

set_held_back() { # held_back: in words, what bits 0-3 of $1 say
  held_back=
  [ $(($1 & 1)) -eq 0 ] || held_back="$held_back, under-voltage"
  [ $(($1 & 2)) -eq 0 ] || held_back="$held_back, frequency capped"
  [ $(($1 & 4)) -eq 0 ] || held_back="$held_back, throttled"
  [ $(($1 & 8)) -eq 0 ] || held_back="$held_back, soft temperature limit"
  held_back=${held_back#, }
}

# ---- A phone's state, by its services: they may hang, be missing, or say nothing to us ----

ask_phone() { $in_time dumpsys "$@" 2>/dev/null </dev/null; } # stdin is the plan

# battery_percent, battery_temperature (tenths of a degree), battery_status and plugged (ac, usb, wireless, dock, several with
# a +, none); '' = not known, as where there is no battery
set_battery() {
  battery_percent='' battery_temperature='' battery_status='' plugged='' plugs='' scale=100
  while read -r line; do
    value=${line#*: }
    case $line in
      'AC powered: true') plugs=$plugs+ac ;;
      'USB powered: true') plugs=$plugs+usb ;;
      'Wireless powered: true') plugs=$plugs+wireless ;;
      'Dock powered: true') plugs=$plugs+dock ;;
      *' powered: false') plugged=none ;;
      'present: false') plugged='' && return 0 ;; # it stands before what a battery would say
      'status: 2') battery_status=charging ;;
      'status: 3') battery_status=discharging ;;
      'status: 4') battery_status='not charging' ;;
      'status: 5') battery_status=full ;;
      'status: 1') battery_status=unknown ;;
      'level: '*[!0-9]* | 'scale: '*[!0-9]* | 'temperature: '*[!0-9]*) ;;
      'level: '?*) battery_percent=$value ;;
      'scale: '[1-9]*) scale=$value ;;
      'temperature: '?*) battery_temperature=$value ;;
    esac
  done <<END
$(ask_phone battery)
END
  [ -z "$plugs" ] || plugged=${plugs#+}
  [ -z "$battery_percent" ] || battery_percent=$((100 * battery_percent / scale))
}

set_thermal() { # thermal_status: 0 to 6; cpu_temperature: of the hottest CPU sensor, in millidegrees; '' = not known
  thermal_status='' cpu_temperature='' part=''
  while read -r line; do
    case $part$line in
      'Thermal Status: '[0-6]) thermal_status=${line#*: } ;;
      'Current temperatures from HAL:') part='now ' ;; # what is cached may be old
      'now Temperature{mValue='*', mType=0,'* | 'now Temperature{mValue='*', mName=TYPE_CPU,'*)
        value=${line#*=} value=${value%%,*} # 48.299999
        case $value in
          '' | .* | *[!0-9.]* | *.*.*) continue ;;
          *.?*) tenth=${value#*.} value=${value%.*}${tenth%"${tenth#?}"}00 ;;
          *) value=${value%.}000 ;;
        esac
        [ "$value" -le "${cpu_temperature:-0}" ] || cpu_temperature=$value
        ;;
      'now Current '*) break ;;
    esac
  done <<END
$(ask_phone thermalservice)
END
}

set_screen() { # screen: on, off, dozing; power_save: 0, 1; suspends: how often the phone slept since boot; '' = not known
  case $(ask_phone power | sed -n '/^ *mWakefulness=/{s/.*=//;p;q;}') in
    Awake | Dreaming) screen=on ;; # it dreams on the screen
    Asleep) screen=off ;;
    Dozing) screen=dozing ;;
    *) screen='' ;;
  esac
  power_save=$($in_time settings get global low_power 2>/dev/null </dev/null)
  case $power_save in 0 | 1) ;; *) power_save='' ;; esac
  { read -r suspends <"$sys/power/suspend_stats/success"; } 2>/dev/null || suspends=''
}

set_heat() { # heat: in words, of thermal status $1, by PowerManager's names; '' = none
  case $1 in
    1) heat='1 (light)' ;;
    2) heat='2 (moderate)' ;;
    3) heat='3 (severe)' ;;
    4) heat='4 (critical)' ;;
    5) heat='5 (emergency)' ;;
    6) heat='6 (shutdown)' ;;
    *) heat='' && return ;;
  esac
  heat="the phone's thermal status is $heat"
}

put_phone_state() { # $1: before, when the gate has just asked for battery and heat, or after
  if [ "$1" = after ]; then set_battery && set_thermal; fi
  set_screen
  put_known "$1.battery_percent" "$battery_percent"
  [ -z "$battery_temperature" ] || put "$1.battery_temperature_c" "$((battery_temperature / 10)).$((battery_temperature % 10))"
  put_known "$1.battery_status" "$battery_status"
  put_known "$1.plugged" "$plugged"
  put_known "$1.thermal_status" "$thermal_status"
  put_known "$1.screen" "$screen"
  put_known "$1.power_save" "$power_save"
  put_known "$1.suspends" "$suspends"
}

# ---- The energy meter: what is read stays as it is, since some counters exceed the 32 bits in which mksh counts ----

case $energy in
  auto) if [ -n "$energy_command" ]; then meters='command'; else meters='rapl pmic ina3221'; fi ;;
  none) meters= ;;
  *) meters=$energy ;;
esac

# meter: which one it is; none, and meter_reason why. meter_unit, meter_names and meter_ranges as the sidecar has them;
# meter_files: what is read, below $sys. energy_counters: the same for the runner, '' where it cannot read them itself.
find_meter() { # a meter that was asked for must be there
  meter=none meter_reason='benchmark_run_energy is none' energy_counters='' refused=''
  for kind in $meters; do
    meter_unit='' meter_names='' meter_ranges='' meter_files=''
    "find_$kind" || continue
    meter=$kind meter_reason=''
    if read_meter; then
      [ "$kind" != rapl ] || link_counters
      return 0
    fi
    meter=none
    case $kind in
      rapl) refused="no permission to read $sys/$file: readable by root only; set benchmark_run_energy_unlock or log in as root" ;;
      ina3221) refused="no permission to read $sys/$file" ;;
    esac
  done
  case $meters in
    '') return 0 ;;
    rapl) meter_reason="no RAPL counters here (no package among $sys/class/powercap/intel-rapl:*)" ;;
    pmic) meter_reason="no PMIC of a Raspberry Pi 5 here ('vcgencmd pmic_read_adc' tells no currents)" ;;
    ina3221) meter_reason="no INA3221 here (neither in $sys/class/hwmon nor in $sys/bus/iio/devices)" ;;
    command) meter_reason="benchmark_run_energy_command, '$energy_command', prints no number within 2 s" ;;
    *) meter_reason="no sensor: neither RAPL counters, nor the PMIC of a Raspberry Pi 5, nor an INA3221 here" ;;
  esac
  meter_reason=${refused:-$meter_reason}
  [ "$energy" = auto ] && [ "$meters" != command ] ||
    die 77 "the energy meter '$meters' was asked for and cannot be had: $meter_reason; see to that, or set benchmark_run_energy to none"
}

find_rapl() { # packages and their DRAM: cores are parts of a package, psys holds all of it, and mmio tells the same again
  for zone in "$sys"/class/powercap/intel-rapl:*; do
    { read -r name <"$zone/name"; } 2>/dev/null || continue
    case $name in package-*) add_counter "$name" "$zone" ;; *) continue ;; esac
    for part in "$zone/${zone##*/}":*; do
      { read -r part_name <"$part/name"; } 2>/dev/null && [ "$part_name" = dram ] && add_counter "dram-${name#package-}" "$part"
    done
  done
  meter_unit=uj
  [ -n "$meter_names" ]
}

add_counter() { # $1 name, $2 directory
  { read -r range <"$2/max_energy_range_uj"; } 2>/dev/null || range=-
  meter_names=$meter_names${meter_names:+,}$1 meter_ranges=$meter_ranges${meter_ranges:+,}$range
  meter_files="$meter_files ${2#"$sys/"}/energy_uj"
}

link_counters() { # energy_counters: paths with a : between them, so without the one that RAPL's paths have
  count=0
  for file in $meter_files; do
    ln -sf "$sys/$file" "$run_dir/tmp/energy_uj.$count" 2>/dev/null
    energy_counters=$energy_counters${energy_counters:+:}$run_dir/tmp/energy_uj.$count
    count=$((count + 1))
  done
}

find_pmic() {
  if [ -z "$vcgencmd" ] && command -v vcgencmd >/dev/null 2>&1; then
    refused="'vcgencmd' is here and does not answer; it needs a user in the group video"
  fi
  [ -n "$vcgencmd" ] && read_pmic || return 1
  meter_unit=a_v meter_names=$rails
}

find_ina3221() { # on a Jetson: by hwmon, or by iio with older kernels
  has_total=no
  for chip in "$sys"/class/hwmon/hwmon*; do
    { read -r name <"$chip/name"; } 2>/dev/null && [ "$name" = ina3221 ] || continue
    for channel in 1 2 3; do
      { read -r _ <"$chip/curr${channel}_input" && read -r _ <"$chip/in${channel}_input"; } 2>/dev/null || continue
      { read -r name <"$chip/in${channel}_label"; } 2>/dev/null || name=${chip##*/}.$channel
      add_channel ma_mv "$name" "${chip#"$sys/"}/curr${channel}_input ${chip#"$sys/"}/in${channel}_input"
    done
  done
  [ -z "$meter_names" ] || return 0
  for chip in "$sys"/bus/iio/devices/iio:device*; do
    for channel in 0 1 2; do
      { read -r name <"$chip/rail_name_$channel" && read -r _ <"$chip/in_power${channel}_input"; } 2>/dev/null || continue
      add_channel mw "$name" "${chip#"$sys/"}/in_power${channel}_input"
    done
  done
  [ -n "$meter_names" ]
}

add_channel() { # $1 unit, $2 name, $3 files: the board's whole input alone, where a channel has that
  case $2 in
    NC) return 0 ;; # not connected
    *_IN) [ "$has_total" = yes ] || { has_total=yes meter_names='' meter_files=''; } ;;
    *) [ "$has_total" = no ] || return 0 ;;
  esac
  meter_unit=$1 meter_names=$meter_names${meter_names:+,}$2 meter_files="$meter_files $3"
}

find_command() { meter_unit=$energy_command_unit meter_names=command; }

read_meter() { # reading: value,value,... in the order of meter_names; fails where one of them is no number
  reading=
  case $meter in
    rapl | ina3221)
      for file in $meter_files; do
        { read -r value <"$sys/$file"; } 2>/dev/null || return 1
        reading=$reading,$value
      done
      ;;
    pmic) read_pmic && [ "$rails" = "$meter_names" ] || return 1 ;;
    command)
      # shellcheck disable=SC2086
      reading=$($in_time sh -c "($energy_command$newline) && echo done" 2>/dev/null </dev/null)
      case $reading in *,*) return 1 ;; *done) reading=${reading%done} reading=${reading%"$newline"} ;; *) return 1 ;; esac
      ;;
  esac
  reading=${reading#,}
  case ,$reading, in *,,* | *[!0-9.,-]*) return 1 ;; esac
}

read_pmic() { # rails: name,name,...; reading: the current of each in A, and its voltage in V
  # shellcheck disable=SC2086
  answer=$($vcgencmd pmic_read_adc 2>/dev/null)
  currents='' voltages=' ' rail='' rails='' reading=''
  for word in $answer; do # 3V7_WL_SW_A current(0)=0.00195185A ... 3V7_WL_SW_V volt(8)=3.71822200V
    case $word in
      *_A | *_V) rail=${word%_?} ;;
      current*=*A) value=${word#*=} && currents="$currents $rail=${value%A}" ;;
      volt*=*V) value=${word#*=} && voltages="$voltages$rail=${value%V} " ;;
    esac
  done
  for pair in $currents; do
    rail=${pair%%=*}
    case $voltages in
      *" $rail="*)
        value=${voltages#*" $rail="}
        rails=$rails,$rail reading=$reading,${pair#*=},${value%% *}
        ;;
    esac
  done
  rails=${rails#,}
  [ -n "$rails" ]
}

take_sample() { # sample: now, by the clock of start_uptime_s, and what the meter says
  set_now
  read_meter && sample=$now_s:$reading
}

put_energy() { # the meter, and what it said from before the process to after it
  put energy.meter "$meter"
  put_known energy.reason "$meter_reason"
  [ -e "$run_dir/tmp/samples" ] || return 0
  put energy.unit "$meter_unit"
  put energy.names "$meter_names"
  put_known energy.ranges "$meter_ranges"
  put energy.interval_s "$energy_interval_s"
  put_samples energy.samples samples
}

put_samples() { # $1 key, $2 file in tmp: its lines, with blanks between them
  samples=$(tr '\n' ' ' <"$run_dir/tmp/$2")
  put "$1" "${samples% }"
}

expect_idle() { [ "$meter" = none ] || [ "$idle_s" -eq 0 ] || idle_due=yes; }

measure_idle() { # a line of idle.tsv: what the meter says each second while nothing is measured
  idle_due=no samples='' second=0
  start_utc=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  while take_sample && samples="$samples $sample" && [ "$second" -lt "$idle_s" ]; do
    sleep 1
    second=$((second + 1))
  done
  case ${samples# } in *' '*) ;; *) return 0 ;; esac # one sample says nothing
  earlier=$(cat "$run_dir/idle.tsv" 2>/dev/null) ||
    earlier=$(echo block start_utc boot_id meter unit names ranges samples | tr ' ' "$tab")
  write_file "$run_dir/idle.tsv" "$earlier
$block$tab$start_utc$tab$boot_id$tab$meter$tab$meter_unit$tab$meter_names$tab${meter_ranges:--}$tab${samples# }
" || die 73 "disk full: cannot write $run_dir/idle.tsv; make room and start again, nothing that was measured is lost"
}

# ---- The gate before a run ----

# hot, busy: why this moment is a bad one to measure; '' = fit. short: the part of busy that is about memory; flat: the part
# of hot that is about the battery, for which the script waits as for heat
set_unfit() {
  hot='' short='' flat=''
  set_memory
  [ "${available_kb:-$reserve_kb}" -ge "$reserve_kb" ] ||
    short="$((available_kb / 1024)) MB of memory are available, below the reserve of $((reserve_kb / 1024)) MB"
  busy=$short
  [ "$is_phone" = no ] || look_at_phone
  if [ "$max_temperature_c" -gt 0 ]; then
    set_temperature
    [ "${temperature:-0}" -le $((max_temperature_c * 1000)) ] ||
      hot="$((temperature / 1000)) C, above $max_temperature_c C${hot:+; $hot}"
  fi
  set_throttled
  if [ "$phase" = evaluate ]; then hot=$flat busy=$short && return 0; fi
  set_held_back "${throttled:-0}"
  [ -z "$held_back" ] || hot="${hot:+$hot; }the machine is held back: $held_back"
  { read -r _ _ _ processes _ <"$proc/loadavg"; } 2>/dev/null || return 0
  others=$((${processes%%/*} - 1)) # one of the runnable processes is this shell
  case $threads in '' | *[!0-9]*) wanted=1 ;; *) wanted=$threads ;; esac
  [ "$wanted" -lt "$cpus" ] || wanted=$cpus
  [ "$others" -le $((cpus - wanted)) ] || busy="${busy:+$busy; }$others other processes wanted the $cpus CPUs, $wanted needed"
}

look_at_phone() { # adds to what set_unfit sets
  set_battery
  set_thermal
  set_heat "$thermal_status"
  hot=$heat
  if [ "$max_battery_temperature_c" -gt 0 ] && [ "${battery_temperature:-0}" -gt $((max_battery_temperature_c * 10)) ]; then
    hot="${hot:+$hot; }the battery is at $((battery_temperature / 10)) C, above $max_battery_temperature_c C"
  fi
  [ "${battery_percent:-100}" -ge "$min_battery_percent" ] || flat="the battery is at $battery_percent %, below $min_battery_percent %"
  hot="$hot${hot:+${flat:+; }}$flat"
  [ "$(getprop init.svc.bootanim 2>/dev/null)" != running ] || busy="${busy:+$busy; }the phone is still starting"
}

pause_if_late() { # ends the script when the machine goes back before a run like the longest so far would end
  { read -r last_end_s goes_back <"$run_dir/until"; } 2>/dev/null || return 0
  case $last_end_s in '' | *[!0-9]*) return 0 ;; esac
  [ $(($(date +%s) + longest_s)) -gt "$last_end_s" ] || return 0
  run='-' state=paused message="the machine goes back at $goes_back and the next run would not end in time"
  write_progress
  say "paused after $finished of $total runs: $message"
  exit 0
}

wait_until_fit() { # with an end: a machine that does not become fit is measured, and it is said
  waited_s=0 cooldown_left_s=$max_cooldown_s
  set_unfit
  if [ -n "$hot$busy" ]; then # what only passed by, such as the controller's look, is gone in a moment
    sleep 0.2 2>/dev/null || sleep 1
    set_unfit
  fi
  while :; do
    pause_if_late
    if [ -n "$hot" ] && [ "$cooldown_left_s" -gt 0 ]; then
      cooldown_left_s=$((cooldown_left_s - 1))
    elif [ -n "$busy" ] && [ "$max_wait_s" -gt 0 ]; then
      max_wait_s=$((max_wait_s - 1))
    else
      break
    fi
    if [ "$waited_s" -eq 0 ]; then state=waiting message=$hot${hot:+${busy:+; }}$busy && write_progress; fi
    sleep 1
    waited_s=$((waited_s + 1))
    set_unfit
  done
  state=running message=$notice
}

# ---- Settings of the machine: changed where that is asked, and put back ----

# found: what setting $1 is: a file's content; of mode:<file>, its mode; of global:<name>, the setting of that name of Android,
# null where it has none. Fails where that cannot be read.
set_found() {
  case $1 in
    global:*)
      found=$($in_time settings get global "${1#global:}" 2>/dev/null </dev/null)
      [ -n "$found" ]
      ;;
    mode:*) found=$(stat -c %a "${1#mode:}" 2>/dev/null) ;;
    *) { read -r found <"$1"; } 2>/dev/null ;;
  esac
}

write_settings() { # $1: lines path=value; as root where that is needed. Fails with the first refused: unset_path, unset_value
  wanted=$1
  for as_root in '' 'sudo -n'; do
    # shellcheck disable=SC2016,SC2086
    printf '%s' "$wanted" |
      $as_root sh -c '
        while IFS="=" read -r path value; do
          case $path=$value in
            mode:*) chmod "$value" "${path#mode:}" ;;
            global:*=null) settings delete global "${path#global:}" ;;
            global:*) settings put global "${path#global:}" "$value" ;;
            *) [ ! -e "$path" ] || echo "$value" >"$path" ;;
          esac >/dev/null </dev/null
        done' 2>/dev/null
    refused=''
    while IFS='=' read -r path value; do
      if set_found "$path"; then
        [ "$found" = "$value" ] || refused="$refused$path=$value$newline"
      else
        case $path in global:*) refused="$refused$path=$value$newline" ;; esac # a file may be gone; this is an Android that is not up
      fi
    done <<END
$wanted
END
    [ -n "$refused" ] || return 0
    wanted=$refused
  done
  refused=${refused%%"$newline"*}
  unset_path=${refused%=*} unset_value=${refused##*=}
  return 1
}

change() { # $1 setting, $2 value: notes what is to be written, and what is there
  set_found "$1" && [ "$found" != "$2" ] || return 0
  earlier="$earlier$1=$found$newline" wanted_settings="$wanted_settings$1=$2$newline"
}

set_control() { # nothing is measured under other conditions than were asked for
  earlier='' wanted_settings='' launcher='' nice_as_root=''
  if [ -n "$governor" ]; then
    [ -r "$cpufreq/scaling_governor" ] ||
      die 77 "benchmark_run_governor is '$governor', but this machine has no governor to set (there is no $cpufreq/scaling_governor); leave the setting empty here"
    { read -r value <"$cpufreq/scaling_available_governors"; } 2>/dev/null || value=$governor
    case " $value " in
      *" $governor "*) ;;
      *) die 77 "benchmark_run_governor is '$governor', but this machine offers: $value; choose one of them" ;;
    esac
    for file in "$sys"/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do change "$file" "$governor"; done
  fi
  if [ "$disable_turbo" = yes ]; then
    case $turbo_switch in
      */no_turbo) change "$turbo_switch" 1 ;;
      */boost) change "$turbo_switch" 0 ;;
      *) die 77 "benchmark_run_disable_turbo is set, but this machine has no turbo to switch (neither intel_pstate/no_turbo nor cpufreq/boost in $sys/devices/system/cpu); leave the setting off here" ;;
    esac
  fi
  if command -v setsid >/dev/null 2>&1; then launcher=setsid; fi
  if [ -n "$pin_cpus" ]; then
    set_pinning ||
      die 77 "benchmark_run_pin_cpus is '$pin_cpus', but 'taskset -c $pin_cpus' does not work here: install taskset (util-linux), or name CPUs that this machine has ($cpus), such as 0 or 0-1"
    launcher="$launcher $pinning"
  fi
  if [ "$nice" -ne 0 ]; then
    try_nice || { nice_as_root='sudo -n' && try_nice; } ||
      die 77 "benchmark_run_nice is $nice, but 'renice' does not allow that, neither to this user nor by 'sudo -n'; log in as root, allow sudo without a password, or choose 0 or more"
  fi
  case $energy_unlock$meters in
    yesrapl*)
      meter_names='' meter_ranges='' meter_files=''
      find_rapl
      for file in $meter_files; do { read -r _ <"$sys/$file"; } 2>/dev/null || change "mode:$sys/$file" 444; done
      ;;
  esac
  [ "$is_phone$stay_awake" != yesyes ] || wake_up
  [ -n "$wanted_settings" ] || return 0
  rm -f "$run_dir/tmp/keeper.sleeper"
  keep_control &
  keeper_pid=$!
  set_started "$keeper_pid"
  write_file "$control" "boot_id=$boot_id
keeper=$keeper_pid $started
$earlier" || die 73 "disk full: cannot write $control, which tells what to put back; make room and start again"
  if write_settings "$wanted_settings"; then
    say "changed until the end of the campaign: $(echo "$wanted_settings" | tr '\n' ' ')"
  elif ! can_do_without; then
    die 77 "cannot write '$unset_value' to $unset_path, neither as this user nor by 'sudo -n'; log in as root, allow sudo without a password, or leave benchmark_run_governor, benchmark_run_disable_turbo and benchmark_run_energy_unlock unset"
  fi
}

wake_up() { # nobody asked for this in particular, so that a phone that refuses is measured as it is
  set_battery
  case $plugged in '' | none) return 0 ;; esac # it would stay awake only until the screen's own time is over
  change global:stay_on_while_plugged_in 7
  $in_time input keyevent KEYCODE_WAKEUP >/dev/null 2>&1 </dev/null
  $in_time wm dismiss-keyguard >/dev/null 2>&1 </dev/null # an app must be in front; a lock with a PIN stays
}

can_do_without() { # what was refused; of all settings it is the last
  case $unset_path in
    global:*) say "this phone lets nobody keep it awake: it does not take '$unset_value' for $unset_path" ;;
    *) return 1 ;;
  esac
}

set_pinning() { # pinning: words that start a command on $pin_cpus; fails where they do not
  pinning="taskset -c $pin_cpus"
  # shellcheck disable=SC2086
  ! $pinning true >/dev/null 2>&1 || return 0
  mask=0 # toybox knows only this
  for range in $(echo "$pin_cpus" | tr , ' '); do
    cpu=${range%-*}
    case $cpu-${range#*-} in *[!0-9-]* | -* | *- | 0[0-9]* | *-0[0-9]*) return 1 ;; esac
    [ "${range#*-}" -le 30 ] || return 1 # a further bit may be taken for that of another CPU: mksh has 32
    while [ "$cpu" -le "${range#*-}" ]; do
      mask=$((mask | 1 << cpu))
      cpu=$((cpu + 1))
    done
  done
  pinning="taskset $(printf %x "$mask")"
  # shellcheck disable=SC2086
  $pinning true >/dev/null 2>&1
}

try_nice() {
  sleep 5 &
  # shellcheck disable=SC2086
  $nice_as_root renice -n "$nice" -p $! >/dev/null 2>&1
  is_allowed=$?
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
  return $is_allowed
}

put_control() { # what holds for every run, for the sidecar
  put_known control.governor "$governor"
  [ "$disable_turbo" = no ] || put control.turbo off
  put_known control.pin_cpus "$pin_cpus"
  [ "$nice" -eq 0 ] || put control.nice "$nice"
}

restore_control() { # fails when the machine does not take its earlier settings; then they stay on record
  [ -e "$control" ] || return 0
  earlier='' lasting='' control_boot='' keeper='' keeper_started=''
  while IFS='=' read -r key value; do
    case $key in
      boot_id) control_boot=$value ;;
      keeper) keeper=${value% *} keeper_started=${value#* } ;;
      /* | mode:/*) earlier="$earlier$key=$value$newline" ;;
      global:*) lasting="$lasting$key=$value$newline" ;; # Android writes these down
    esac
  done <"$control"
  if [ "$control_boot" = "$boot_id" ]; then
    end_keeper
    lasting=$earlier$lasting
  elif [ -n "$earlier" ]; then
    say "what was changed on this machine is undone by its restart"
  fi
  if [ -n "$lasting" ]; then
    if ! write_settings "$lasting"; then
      say "error: cannot put '$unset_value' back to $unset_path; as root: sh '$run_dir/run_benchmark.sh' restore"
      return 1
    fi
    say "put back: $(echo "$lasting" | tr '\n' ' ')"
  fi
  rm -f "$control"
}

end_keeper() { # of whatever script: only one may put back
  if [ -n "$keeper_pid" ]; then
    end_helper "$keeper_pid" keeper
    keeper_pid=
  elif [ -z "$is_keeper" ] && [ -n "$keeper" ]; then
    set_process_alive "$keeper" "$keeper_started" "$control_boot"
    [ "$alive" = no ] || kill -KILL "$keeper"
  fi
}

is_keeper=
keep_control() { # a helper that outlives a killed script, to put back what it changed. A script that came after does it itself.
  is_keeper=yes keeper_pid=''
  until is_left_behind; do doze 2 keeper; done
  set_holder_alive
  [ "$alive" = yes ] || restore_control
}

# ---- One run ----

watchdog() { # ends the runner after timeout_s, or when memory runs out. Nobody is killed once the script itself is gone.
  if [ "$reserve_kb" -eq 0 ] && [ "$meter" = none ] && [ -z "$already_set" ] && [ "$is_phone" = no ] && [ "$resources_s" -eq 0 ]; then
    doze "$timeout_s" watchdog
  else
    seen=0 looked=0 look_due=$resources_s pace=$resources_s sampled=0
    set_now
    until_s=$((${now_s%%.*} + timeout_s))
    while [ "${now_s%%.*}" -lt "$until_s" ]; do
      earlier_s=${now_s%%.*}
      if [ "$looked" -eq 0 ]; then look_at_beginning; else doze 1 watchdog; fi
      ! is_left_behind || exit 0
      [ "$reserve_kb" -eq 0 ] || look_at_memory
      # The bits since boot say nothing any more about this run, so somebody has to look while it lasts.
      [ -z "$already_set" ] || look_at_bits
      looked=$((looked + 1))
      [ "$meter" = none ] || [ $((looked % energy_interval_s)) -ne 0 ] || look_at_meter
      [ "$looked" -ne "$look_due" ] || look_at_resources
      set_now
      # The uptime goes on while a phone sleeps; what a helper waits for does not.
      [ "$is_phone" = no ] || [ $((${now_s%%.*} - earlier_s)) -le "$longest_look_s" ] || : >"$run_dir/tmp/slept"
    done
  fi
  ! is_left_behind || exit 0
  : >"$run_dir/tmp/timed_out"
  signal_tree TERM "$runner_pid"
  doze 5 watchdog
  signal_tree KILL "$runner_pid"
}

look_at_memory() { # ends the runner while there is some left for everything else, and before it measures the swap
  set_memory
  if [ "${available_kb:-$reserve_kb}" -lt "$reserve_kb" ]; then
    short="$((available_kb / 1024)) MB were available of $((total_kb / 1024)) MB, below the reserve of $((reserve_kb / 1024)) MB, so the run was ended"
  elif [ $((${swap_free_before:-0} - ${swap_free_kb:-0})) -gt "$max_swapped_kb" ] && [ -n "$swap_free_kb" ]; then
    short="the machine swapped: $(((swap_free_before - swap_free_kb) / 1024)) MB more were in the swap, so the run was ended"
  else
    return 0
  fi
  echo "out of memory: $short" >"$run_dir/tmp/out_of_memory"
  signal_tree KILL "$runner_pid"
  exit 0
}

look_at_bits() {
  set_throttled
  if [ -n "$throttled" ] && [ "$((seen | throttled))" -ne "$seen" ]; then
    seen=$((seen | throttled))
    printf '0x%x\n' "$seen" >"$run_dir/tmp/throttled"
  fi
}

look_at_meter() { # the script's own last sample comes after all of these
  take_sample && [ ! -e "$run_dir/tmp/ended" ] && echo "$sample" >>"$run_dir/tmp/samples"
}

look_at_beginning() { # in the first second more often: the runner loads the model
  for pause_s in $first_pauses; do
    doze "$pause_s" watchdog
    ! is_left_behind || exit 0
    sample_resources
  done
  doze "$last_pause_s" watchdog
}

look_at_resources() {
  sample_resources
  sampled=$((sampled + 1))
  [ $((sampled % samples_at_a_pace)) -ne 0 ] || pace=$((pace * 2))
  look_due=$((looked + pace))
}

sample_resources() { # of the runner's processes together; a process has in its CPU time that of its children that have ended
  set_family
  rss_kb=0 cpu_ticks=0
  while [ -n "$family" ]; do
    children=
    for member in $family; do
      { read -r stat_line <"$proc/$member/stat"; } 2>/dev/null || continue
      # shellcheck disable=SC2086
      add_resources ${stat_line##*)}
      offspring=
      { read -r offspring <"$proc/$member/task/$member/children"; } 2>/dev/null
      children="$children${offspring:+ $offspring}"
    done
    family=$children
  done
  [ "$rss_kb" -gt 0 ] || return 0 # it has ended
  set_now
  [ -e "$run_dir/tmp/ended" ] || echo "$now_s:$rss_kb:$cpu_ticks" >>"$run_dir/tmp/resources"
}

add_resources() { # what is in /proc/<pid>/stat from the state on
  [ $# -ge 22 ] || return 0 # the name has a line of its own
  cpu_ticks=$((cpu_ticks + ${12} + ${13} + ${14} + ${15})) # user, system; the same of children that have ended
  rss_kb=$((rss_kb + ${22} * page_kb))
}

find_resources() { # page_kb; first_pauses and last_pause_s, a second in all; resources_s=0 where /proc says nothing
  first_pauses='' last_pause_s=1 pages=0 size_kb=0
  [ "$resources_s" -gt 0 ] || return 0
  { read -r pages _ <"$proc/self/statm"; } 2>/dev/null
  while read -r key value _; do
    [ "$key" != VmSize: ] || { size_kb=$value && break; }
  done 2>/dev/null <"$proc/self/status"
  [ "$pages" -gt 0 ] && [ "$size_kb" -gt 0 ] || { resources_s=0 && return; }
  page_kb=$((size_kb / pages))
  ! sleep 0.01 2>/dev/null || first_pauses='0.1 0.2 0.3' last_pause_s=0.4
}

set_reserve() { # reserve_kb: with less memory available a runner is ended; 0 = nobody looks
  reserve_kb=0
  set_memory
  case $min_available_mb in
    auto)
      [ -n "$available_kb" ] && [ -n "$total_kb" ] || return 0
      reserve_kb=$((total_kb / 20))
      [ "$reserve_kb" -ge 65536 ] || reserve_kb=65536
      [ "$reserve_kb" -le 524288 ] || reserve_kb=524288
      ;;
    '' | *[!0-9]*) die 64 "benchmark_run_min_available_mb is '$min_available_mb'; expected a number of MB, or auto" ;;
    *) [ -z "$available_kb" ] || reserve_kb=$((min_available_mb * 1024)) ;;
  esac
}

measure() {
  check_lock
  [ "$free_kb" -ge "$min_free_kb" ] ||
    die 73 "disk full: $free_kb kB free in $run_dir, at least $min_free_kb kB wanted; make room and start again, nothing that was measured is lost"
  log=$run_dir/tmp/$run.log
  (cd "$run_dir/tmp" && rm -f ./*.log ./*.meta slept timed_out throttled out_of_memory samples resources processes ended watchdog.sleeper)
  meta=
  for key in campaign host run block repetition phase model variant runner threads delegate batch_size input_size timeout_s model_file model_sha256; do
    eval "put $key \"\$$key\""
  done
  put_known retry "$retry"
  add_iterations
  put_known iterations_wanted "$iterations_wanted"
  set_runner_version "$runner"
  put runner_version "$version"
  put runner_sha256 "$runner_sha256"
  put_control
  wait_until_fit
  # It would be ended at once, which says nothing about its configuration.
  [ -z "$short" ] ||
    die 71 "memory is short before run $run begins: $short; end other programs or lower benchmark_run_min_available_mb, and start again, nothing that was measured is lost"
  [ -z "$flat" ] ||
    die 69 "before run $run begins $flat; charge the phone (plugged in now: ${plugged:-not known}) or lower benchmark_run_min_battery_percent, and start again, nothing that was measured is lost"
  put waited_s "$waited_s"
  put_known unfit "$hot${hot:+${busy:+; }}$busy"
  [ "$boot_id" = - ] || put boot_id "$boot_id"
  write_progress
  [ "$idle_due" = no ] || [ -n "$hot$busy" ] || [ "$phase" = evaluate ] || measure_idle
  put_machine_state before
  ticks_before=$ticks swapped_before=$pages_swapped count_before=$throttle_count governor_before=$current_governor throttled_before=$throttled
  swap_free_before=$swap_free_kb oom_kills_before=$oom_kills
  if [ "$is_phone" = yes ]; then
    swap_free_before='' thermal_before=$thermal_status power_save_before=$power_save suspends_before=$suspends
  fi
  already_set=
  [ $((${throttled:-0} >> 16 & 15)) -eq 0 ] || already_set=yes
  be_runner tell
  argv="$argv --graph='$models_dir/$model_file' $flags"
  put start_utc "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  set_now
  put start_uptime_s "$now_s"
  start_s=$now_s
  if is_too_big; then refuse_to_start; else run_process; fi
  put end_uptime_s "$end_s"
  put end_utc "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  put argv "$argv"
  put exit_code "$exit_code"
  if [ -e "$run_dir/tmp/timed_out" ]; then put timed_out 1; else put timed_out 0; fi
  put_machine_state after
  { read -r throttled_during <"$run_dir/tmp/throttled"; } 2>/dev/null || throttled_during=
  put_known during.throttled "$throttled_during"
  put_energy
  [ ! -e "$run_dir/tmp/resources" ] || put_samples resources.samples resources
  set_free_kb
  set_failure
  reasons='' checks=''
  [ "$exit_code" -ne 0 ] || [ -n "$failure" ] || [ "$phase" = evaluate ] || set_reasons
  put_known checks "$checks"
  put_known invalid "$reasons"
  case $phase/$failure in
    evaluate/*) ;; # with all images it needs more memory than a repetition, of which it says nothing
    */'out of memory'*) leave_plan ;; # on record before the run counts
  esac
  publish
}

is_too_big() { # by what it needs at least, where the plan knows that. Memory rarely comes back, so nobody waits for it.
  case $least_memory_mb in *[!0-9]*) return 1 ;; esac
  [ -n "$available_kb" ] && [ "$least_memory_mb" -gt $((available_kb / 1024)) ]
}

refuse_to_start() { # sets what run_process does; exit code 125: there was no process
  needs="needs at least $least_memory_mb MB, $((available_kb / 1024)) MB are available"
  echo "ERROR: out of memory: $needs; the runner was not started" >"$log"
  echo "out of memory: predicted: $needs" >"$run_dir/tmp/out_of_memory"
  exit_code=125 end_s=$start_s
}

run_process() { # sets exit_code and end_s
  [ "$meter" = none ] || { take_sample && echo "$sample" >"$run_dir/tmp/samples"; }
  start_runner
  watchdog >/dev/null 2>&1 &
  watchdog_pid=$!
  set_started "$watchdog_pid"
  { echo "$watchdog_pid $started $boot_id" >"$lock.watchdog"; } 2>/dev/null
  wait "$runner_pid"
  exit_code=$?
  set_now
  end_s=$now_s sample=''
  : >"$run_dir/tmp/ended"
  [ "$meter" = none ] || take_sample
  note_length "$start_s" "$end_s"
  end_helper "$watchdog_pid" watchdog
  watchdog_pid=
  [ -z "$sample" ] || echo "$sample" >>"$run_dir/tmp/samples"
  ! kill -KILL "-$runner_pid" 2>/dev/null || say "run $run left processes behind, which were ended"
  [ "$exit_code" -eq 0 ] || end_outside
  runner_pid=
}

set_failure() { # failure: why the run gave nothing, where more is known than its exit code; '' = nothing
  failure=
  if [ "$free_kb" -lt 64 ]; then # the runner may not have noticed that its last lines found no room
    failure="disk full while logging: $free_kb kB free in $run_dir"
    return 0
  fi
  [ "$exit_code" -ne 0 ] && [ ! -e "$run_dir/tmp/timed_out" ] || return 0
  { read -r failure <"$run_dir/tmp/out_of_memory"; } 2>/dev/null && return 0
  failure=$(sed -n '/^ERROR: out of memory/{s/^ERROR: //;p;q;}' "$log")
  [ -z "$failure" ] && [ "$exit_code" -eq 137 ] || return 0
  if [ -z "$oom_kills" ] || [ "$is_phone" = yes ]; then # a phone's lowmemorykiller is not counted
    failure="killed (signal 9), perhaps by the kernel because memory ran out"
  elif [ "$oom_kills" = "$oom_kills_before" ]; then
    failure="killed (signal 9) by somebody; the kernel counts no process that it ended because memory ran out"
  else
    failure="out of memory: killed by the kernel"
  fi
}

note_length() { # of a run, from its start $1 and end $2. longest_s: of the longest so far, rounded up
  length_s=$((${2%%.*} - ${1%%.*} + 1))
  [ "$length_s" -le "$longest_s" ] || longest_s=$length_s
}

because() { reasons="$reasons${reasons:+; }$1"; }

set_reasons() { # reasons: why what was measured is not what this machine can do; '' = it is
  reasons=
  bits=$(((${throttled_before:-0} | ${throttled:-0} | ${throttled_during:-0}) & 15))
  set_held_back $((bits | (${throttled:-0} >> 16 & ~(${throttled_before:-0} >> 16) & 15)))
  [ -z "$held_back" ] || because "the machine was held back during the run: $held_back"
  if [ -n "$count_before" ] && [ -n "$throttle_count" ]; then
    set_difference "$throttle_count" "$count_before"
    [ "$difference" -eq 0 ] || because "the CPU's thermal throttle counters went up by $difference"
  fi
  if [ -n "$swapped_before" ] && [ -n "$pages_swapped" ]; then
    set_difference "$pages_swapped" "$swapped_before"
    # 1 MB, with the usual pages: a system that tidies away what is idle disturbs nobody.
    [ "$difference" -lt 256 ] || because "the machine swapped $difference pages"
  fi
  if [ "$max_steal_percent" -gt 0 ] && [ -n "$ticks_before" ] && [ -n "$ticks" ]; then
    set_steal
    [ $((100 * steal)) -le $((max_steal_percent * all)) ] ||
      because "other virtual machines took $((100 * steal / all)) % of the CPU time (steal), above $max_steal_percent %"
  fi
  [ "$current_governor" = "$governor_before" ] || because "the governor changed from ${governor_before:-?} to ${current_governor:-?}"
  [ "$is_phone" = no ] || set_phone_reasons
  [ "$has_awk" = no ] || check_log
}

set_phone_reasons() { # adds to reasons
  [ "${thermal_status:-0}" -gt "${thermal_before:-0}" ] || thermal_status=$thermal_before
  set_heat "$thermal_status"
  [ -z "$heat" ] || because "$heat"
  case $power_save_before$power_save in *1*) because "the phone's battery saver is on" ;; esac
  difference=0
  [ -z "$suspends_before" ] || [ -z "$suspends" ] || set_difference "$suspends" "$suspends_before"
  if [ "$difference" -gt 0 ]; then
    because "the phone slept during the run ($difference times)"
  elif [ -e "$run_dir/tmp/slept" ]; then
    because "the phone slept during the run"
  fi
}

set_steal() { # steal, all: ticks of this run, of user nice system idle iowait irq softirq steal; what follows is part of these
  # shellcheck disable=SC2086
  set -- $ticks_before
  column=0 steal=0 all=0
  for ticks_after in $ticks; do
    [ $# -gt 0 ] && [ "$column" -lt 8 ] || break
    set_difference "$ticks_after" "$1"
    shift
    column=$((column + 1)) all=$((all + difference))
    [ "$column" -lt 8 ] || steal=$difference
  done
}

check_log() { # checks: the rules that this log gives the facts for, the same as in analysis; and more reasons
  rm -f "$run_dir/tmp/halves"
  read_log >"$run_dir/tmp/checked"
  [ ! -e "$run_dir/tmp/halves" ] || sort -n "$run_dir/tmp/halves" | test_drift >>"$run_dir/tmp/checked"
  too_few=''
  while IFS=$tab read -r name reason; do
    checks="$checks${checks:+,}$name"
    case $name in
      iterations) too_few=$reason ;;
      *) [ -z "$reason" ] || because "$reason" ;;
    esac
  done <"$run_dir/tmp/checked"
  [ -z "$too_few" ] || because "$gave_up $too_few" # the last, so that no other reason stands before it: see read_sidecars
}

read_log() { # stdout: for each rule its name, and behind a tab what speaks against the run. Leaves iteration times in tmp/halves
  awk -v halves="$run_dir/tmp/halves" -v threads="$threads" -v max_drift="$max_drift_percent" -v min_cpu="$min_cpu_percent" '
    function read_list(    text) { # of a line name=[1.5, 2, ...]: value[1..size], and total
      text = substr($0, index($0, "=") + 1)
      gsub(/\[|\]| /, "", text)
      size = split(text, value, ",")
      total = 0
      for (i = 1; i <= size; i++) total += value[i]
    }
    /Min num runs: \[[0-9]/ { asked = substr($0, index($0, "Min num runs: [") + 15) + 0 } # printed where it was given
    !timings && /count=[0-9]/ { timed = substr($0, index($0, "count=") + 6) + 0 }
    /Inference timings in us:/ { timings = 1 }
    /^EDGEBENCH iteration_cpu_us=\[/ { read_list(); cpu_us = total }
    /^EDGEBENCH iteration_wall_us=\[/ {
      read_list()
      wall_us = total
      if (max_drift == 0) print "drift" # switched off is looked at as well: nobody else shall apply it
      else if (size >= 10) for (i = 1; i <= size; i++) print value[i], (i <= int(size / 2) ? 1 : 2) >halves
    }
    END {
      if (threads == 1 && wall_us > 0 && cpu_us > 0) {
        percent = 100 * cpu_us / wall_us
        if (percent >= min_cpu) print "cpu"
        else printf "cpu\tthe process was on a CPU for only %.0f %% of the timed part, below %d %%\n", percent, min_cpu
      }
      if (timings && timed != "" && asked != "") {
        if (timed >= asked) print "iterations"
        else printf "iterations\t(%.0f) than asked for (%.0f), since --max_secs was over\n", timed, asked
      }
    }' "$log"
}

# Mann-Whitney, two-sided p < 0.001, by the normal approximation with its correction for ties.
test_drift() { # stdin: iteration times in order of size, each with its half. stdout: as read_log
  awk -v max_drift="$max_drift_percent" '
    function median(half,    n) {
      n = count[half]
      return (of[half, int((n + 1) / 2)] + of[half, int(n / 2) + 1]) / 2
    }
    function end_of_tie() { # all in it have the mean of their ranks
      rank_sum += firsts * (before + (tied + 1) / 2)
      ties += tied * tied * tied - tied
      before += tied
      tied = firsts = 0
    }
    $1 != last { end_of_tie() }
    { last = $1; tied++; firsts += $2 == 1; of[$2, ++count[$2]] = $1 }
    END {
      end_of_tie()
      variance = count[1] * count[2] / 12 * (NR + 1 - ties / NR / (NR - 1))
      distance = rank_sum - count[1] * (NR + 1) / 2
      percent = median(1) > 0 ? 100 * (median(2) / median(1) - 1) : 0
      size = percent < 0 ? -percent : percent
      if (size > max_drift && distance * distance > 3.29 * 3.29 * variance)
        printf "drift\tthe iterations drifted: the median of the second half is %.1f %% %s that of the first\n", size, (percent > 0 ? "above" : "below")
      else print "drift"
    }'
}

publish() { # the sidecar last: it makes the run count
  meta="schema=1$newline$meta"
  put_known failure "$failure"
  if ! write_file "$run_dir/tmp/$run.meta" "${meta}complete=1$newline"; then # the log gives way, so that the failure can be recorded
    : >"$log"
    failure="disk full while logging: the log could not be kept" reasons=
    put failure "$failure"
    write_file "$run_dir/tmp/$run.meta" "${meta}complete=1$newline" ||
      die 73 "disk full: cannot write to $run_dir; make room and start again, nothing that was measured is lost"
  fi
  make_durable "$log" "$run_dir/tmp/$run.meta"
  mv -f "$log" "$run_dir/tmp/$run.meta" "$run_dir/runs/" ||
    die 73 "cannot write to $run_dir/runs; nothing that was measured is lost"
  measured=$((measured + 1))
  case $replaced in
    none) finished=$((finished + 1)) ;;
    failed) failed=$((failed - 1)) repeated=$((repeated + 1)) ;;
    invalid) invalid=$((invalid - 1)) repeated=$((repeated + 1)) ;;
  esac
  if [ "$exit_code" -ne 0 ] || [ -n "$failure" ]; then
    failed=$((failed + 1)) failed_runs="$failed_runs$newline/$run.meta"
    say "run $run failed: exit code $exit_code${failure:+, $failure}"
  else
    note_that_it_works
    case $reasons in
      "$gave_up"*) short_runs="$short_runs$newline/$run.meta" ;;
      ?*) invalid_runs="$invalid_runs$newline/$run.meta" ;;
    esac
    [ -z "$reasons" ] || invalid=$((invalid + 1))
    [ -z "$reasons" ] || say "run $run is invalid: $reasons"
  fi
  [ "$learning" = no ] || echo "$run.meta" | list_results >>"$run_dir/tmp/results"
}

set_free_kb() { # free_kb in run_dir; as much as anybody wants where df cannot tell
  free_kb=$(df -Pk "$run_dir" 2>/dev/null)
  # shellcheck disable=SC2086
  set -- ${free_kb##*"$newline"}
  case ${4:-} in '' | *[!0-9]*) free_kb=999999999 ;; *) free_kb=$4 ;; esac
}

# ---- What follows from what was measured: iterations.tsv and stopping.tsv, docs/decisions/0006-adaptive-repetition.md ----

set_learning() { # learning: something is to be decided here
  has_awk=yes adaptive=no learning=yes
  command -v awk >/dev/null 2>&1 || has_awk=no
  [ "$min_repetitions" -eq "$max_repetitions" ] || adaptive=yes
  if [ "$adaptive$iterations" = nofixed ]; then
    learning=no
  elif [ "$has_awk" = no ]; then
    learning=no adaptive=no iterations=fixed notice="no awk here, so all $max_repetitions blocks are run, by the flags as they are"
    say "$notice"
  fi
}

list_results() { # stdin: sidecars. stdout, of each run that worked: configuration block use iterations mean_us std_us length_s
  (
    cd "$run_dir/runs" && awk '{
      meta = $1
      split("", fact)
      while ((getline line <meta) > 0) fact[substr(line, 1, index(line, "=") - 1)] = substr(line, index(line, "=") + 1)
      close(meta)
      if (fact["exit_code"] != "0" || "failure" in fact) next
      use = fact["phase"]
      if ("invalid" in fact || "retry" in fact) use = "-" # what repeats find comes after all decisions
      log_name = substr(meta, 1, length(meta) - 5) ".log"
      stat = mean = ""
      while ((getline line <log_name) > 0) {
        if (line ~ /count=[0-9]/) stat = substr(line, index(line, "count="))
        if (line ~ /Inference timings in us:/) {
          mean = substr(line, index(line, "Inference (avg): ") + 17) + 0
          break
        }
      }
      close(log_name)
      if (mean <= 0) use = "-"
      std = index(stat, " std=") ? substr(stat, index(stat, " std=") + 5) + 0 : 0
      configuration = fact["model"] "/" fact["variant"] "/" fact["runner"] "/" fact["threads"] "/" fact["delegate"]
      configuration = configuration "/" fact["batch_size"] "/" fact["input_size"]
      length_s = fact["end_uptime_s"] - fact["start_uptime_s"]
      printf "%s %s %s %.0f %.17g %.17g %.2f\n", configuration, fact["block"], use, substr(stat, 7), mean, std, length_s
    }'
  )
}

list_all_results() {
  for sidecar in "$run_dir/runs/"*.meta; do
    [ ! -e "$sidecar" ] || echo "${sidecar##*/}"
  done | list_results
}

read_decisions() { # stopped and chosen: configuration=value for each, between blanks; too_big: the configurations
  stopped=" $(sed 1d "$run_dir/stopping.tsv" 2>/dev/null |
    while read -r m v r t d b i left_after _; do printf '%s ' "$m/$v/$r/$t/$d/$b/$i=$left_after"; done)"
  too_big=" $(grep "${tab}out of memory\$" "$run_dir/stopping.tsv" 2>/dev/null |
    while read -r m v r t d b i _; do printf '%s ' "$m/$v/$r/$t/$d/$b/$i"; done)"
  chosen=" $(sed 1d "$run_dir/iterations.tsv" 2>/dev/null |
    while read -r m v r t d b i count _; do printf '%s ' "$m/$v/$r/$t/$d/$b/$i=$count"; done)"
}

decide() { # $1 file, $2 text: durable before anything is done by it
  write_file "$run_dir/$1" "$2$newline" durable ||
    die 73 "disk full: cannot write $run_dir/$1; make room and start again, nothing that was measured is lost"
  read_decisions
}

add_iterations() { # to the flags of a repetition; iterations_wanted: the number that was chosen, '' = what the flags say
  iterations_wanted=''
  [ "$phase" = measure ] || return 0
  case $chosen in *" $configuration="*) iterations_wanted=${chosen#*" $configuration="} ;; esac
  iterations_wanted=${iterations_wanted%% *}
  [ "$iterations_wanted" != - ] || iterations_wanted=''
  [ -z "$iterations_wanted" ] || flags="$flags --num_runs=$iterations_wanted --min_secs=0.001"
}

choose_iterations() {
  [ ! -e "$run_dir/iterations.tsv" ] || return 0
  table=$(list_iterations) || die 70 "awk failed to choose iterations from the pilot; start again, the pilot is not lost"
  decide iterations.tsv "$table"
  say "iterations per process are chosen: iterations.tsv"
}

awk_root='
  function root(x,    guess, earlier) { # some busybox have an awk with neither sqrt nor ^
    if (x <= 0) return 0
    guess = x < 1 ? 1 : x
    do {
      earlier = guess
      guess = (guess + x / guess) / 2
    } while (guess < earlier)
    return guess
  }'

# Kalibera and Jones 2013, with two levels: n = sqrt(c1/c2 * s1^2/s2^2). c1: seconds that a process takes beyond its timed part;
# c2: seconds of an iteration; s1^2: variance within a process; s2^2: between processes beyond that, relative to the mean and
# the same for all configurations, since so few runs say little of each. It counts as (0.2 %)^2 at least.
list_iterations() { # stdout: iterations.tsv
  awk "$awk_root"'
    function square(x) { return x * x }
    BEGIN {
      OFS = "\t"
      print "model", "variant", "runner", "threads", "delegate", "batch_size", "input_size", "iterations", "pilot_runs", "mean_ms",
        "within_sd_percent", "between_sd_percent", "overhead_s", "reason"
    }
    part == "plan" {
      if ($4 == "measure" && $2 == 1) order[++size] = $5 "/" $6 "/" $7 "/" $8 "/" $9 "/" $10 "/" $11
      next
    }
    $3 == "pilot" && $4 > 1 {
      k = ++n[$1]
      mean[$1, k] = $5
      sum[$1] += $5
      # The tool cuts off what is below one microsecond, half of it on average; its deviation is that of a population.
      variance = square(($6 + 0.5) / $5) * $4 / ($4 - 1)
      within[$1] += variance
      of_means[$1] += variance / $4
      overhead[$1] += $7 - $4 * $5 / 1e6
    }
    END {
      for (c in n) if (n[c] > 1) {
        squares = 0
        for (k = 1; k <= n[c]; k++) squares += square(mean[c, k] * n[c] / sum[c] - 1)
        pooled += squares / (n[c] - 1) - of_means[c] / n[c]
        members++
      }
      between = members ? pooled / members : 0
      if (between < square(0.002)) between = square(0.002)
      for (i = 1; i <= size; i++) {
        c = order[i]
        row = c
        gsub("/", "\t", row)
        if (!n[c]) {
          print row, "-", 0, "-", "-", "-", "-", "no pilot run was ok"
          continue
        }
        iteration_s = sum[c] / n[c] / 1e6
        overhead_s = overhead[c] / n[c]
        if (overhead_s < 0.01) overhead_s = 0.01
        wanted = int(root(overhead_s / iteration_s * within[c] / n[c] / between) + 0.5)
        most = int(1 / iteration_s) + 1 # what the tool does by default: 50 and 1 s at least
        if (most < 50) most = 50
        reason = "chosen"
        if (wanted < 10) { wanted = 10; reason = "at the lower bound" } # fewer say nothing of a drift, and a pilot may be wrong
        if (wanted > most) { wanted = most; reason = "at the upper bound" }
        print row, sprintf("%.0f", wanted), n[c], sprintf("%.6g", iteration_s * 1000), sprintf("%.3g", 100 * root(within[c] / n[c])),
          sprintf("%.3g", 100 * root(between)), sprintf("%.3g", overhead_s), reason
      }
    }' part=plan "$run_dir/plan.tsv" part=results "$run_dir/tmp/results"
}

end_block() { # $1: the block that is through. Which configurations leave the plan after it?
  # Where later ones have begun, it was decided already.
  [ "$1" -ge "$min_repetitions" ] && [ "$1" -ge "$last_block" ] || return 0
  leaving=$(list_leaving "$1") || { say "awk failed: nothing leaves the plan after block $1" && return 0; }
  [ -n "$leaving" ] || return 0
  add_leaving "$leaving"
  leavers=$(echo "$leaving" | wc -l)
  total=$((total - leavers * (max_repetitions - $1)))
  say "configurations that leave the plan after block $1: $((leavers)), see stopping.tsv"
}

add_leaving() { # $1: lines of stopping.tsv
  earlier=$(cat "$run_dir/stopping.tsv" 2>/dev/null) || earlier=$(echo model variant runner threads delegate batch_size input_size \
    block n mean_ms interval_percent speedup_interval_percent reason | tr ' ' "$tab")
  decide stopping.tsv "$earlier$newline$1"
}

leave_plan() { # the configuration of this run, which found no memory: nor would another
  case $stopped in *" $configuration="*) return 0 ;; esac
  case $phase$retry in
    pilot) left_in=0 ;;
    measure) left_in=$block ;;
    *) left_in=$max_repetitions ;; # profiles and repeats come after all blocks
  esac
  leaver=$configuration
  n=$(n=0; for_each_line count_ok; echo "$n")
  add_leaving "$(echo "$configuration" | tr / "$tab")$tab$left_in$tab$n$tab-$tab-$tab-${tab}out of memory"
  total=$(total=0; for_each_line count_wanted; echo "$total")
  [ "$phase" = measure ] || total=$((total + 1)) # this run, which has no sidecar so far
  say "a configuration leaves the plan, since it does not fit in memory: $configuration"
}

count_ok() { # runs of a configuration that is leaving
  [ "$configuration" = "$leaver" ] && [ "$phase" = measure ] || return 0
  set_verdict "$run"
  [ "$verdict" != fine ] || n=$((n + 1))
}

count_wanted() { ! is_wanted || total=$((total + 1)); }

# The intervals are those of analysis/stats.py: Student for a mean; for a speedup Fieller, with blocks as pairs (Derrick et al. 2017),
# here with the degrees of freedom at the estimate. These are never more than min_repetitions - 1 (after Stein 1945), for what
# stops as soon as it looks narrow is more often too narrow than not.
list_leaving() { # $1: the block that is through. stdout: lines of stopping.tsv
  stopping=$run_dir/stopping.tsv
  [ -e "$stopping" ] || stopping=/dev/null
  awk -v until="$1" -v least="$min_repetitions" -v target="$target_percent" -v baseline="$baseline" "$awk_root"'
    function t975(df,    x) { # quantile 0.975 of Student, df >= 1; fitted to it, relative error below 2e-5
      x = 1 / df
      return (1.95996 + x * (0.78174 + x * (1.24894 + x * 0.71004))) / (1 - x * (0.81171 - x * 0.18166))
    }
    function square(x) { return x * x }
    function summarise(c,    k) { # variance[c]: of the mean, relative to it
      mean[c] = variance[c] = 0
      for (k = 1; k <= until; k++) if ((c, k) in value) mean[c] += value[c, k] / n[c]
      if (n[c] < 2) return
      for (k = 1; k <= until; k++) if ((c, k) in value) variance[c] += square(value[c, k] / mean[c] - 1)
      variance[c] /= n[c] * (n[c] - 1)
    }
    function half_of_mean(c) { # half width of the interval in percent; unknown = so far there is none
      return n[c] < 2 ? unknown : 100 * t975((n[c] < least ? n[c] : least) - 1) * root(variance[c])
    }
    function half_of_speedup(b, c,    k, pairs, mean_b, mean_c, bb, cc, bc, covariance, welch, single, df, t2, left) {
      if (n[b] < 2 || n[c] < 2) return unknown
      pairs = mean_b = mean_c = bb = cc = bc = covariance = 0
      for (k = 1; k <= until; k++) if ((b, k) in value && (c, k) in value) {
        pairs++
        mean_b += value[b, k]
        mean_c += value[c, k]
      }
      if (pairs < 2) pairs = 0
      if (pairs) {
        mean_b /= pairs
        mean_c /= pairs
        for (k = 1; k <= until; k++) if ((b, k) in value && (c, k) in value) {
          bb += square(value[b, k] - mean_b)
          cc += square(value[c, k] - mean_c)
          bc += (value[b, k] - mean_b) * (value[c, k] - mean_c)
        }
        if (bb > 0 && cc > 0) covariance = bc / root(bb * cc) * root(variance[b] * variance[c]) * pairs / root(n[b] * n[c])
      }
      if (variance[b] + variance[c] == 0) return 0
      welch = square(variance[b] + variance[c]) / (square(variance[b]) / (n[b] - 1) + square(variance[c]) / (n[c] - 1))
      single = n[b] + n[c] - 2 * pairs
      df = pairs - 1 + (welch - pairs + 1) * single / (single + 2 * pairs)
      if (df > least - 1) df = least - 1
      t2 = square(t975(df))
      left = square(1 - t2 * covariance) - (1 - t2 * variance[b]) * (1 - t2 * variance[c])
      if (t2 * variance[c] >= 1 || left < 0) return unknown
      return 100 * root(left) / (1 - t2 * variance[c])
    }
    function widen(half) { if (half > widest) widest = half }
    function shown(half) { return half < 0 || half == unknown ? "-" : sprintf("%.4g", half) }
    BEGIN { OFS = "\t"; unknown = 1e9 }
    part == "plan" {
      if ($4 != "measure" || $2 != 1) next
      c = $5 "/" $6 "/" $7 "/" $8 "/" $9 "/" $10 "/" $11
      order[++size] = c
      variant[c] = $6
      group[c] = $5 "/" $7 "/" $8 "/" $9 "/" $10 "/" $11
      if ($6 == baseline) baseline_of[group[c]] = c
      next
    }
    part == "stopped" { has_left[$1 "/" $2 "/" $3 "/" $4 "/" $5 "/" $6 "/" $7] = 1; next }
    { works[$1] = 1 }
    $3 == "measure" && $2 <= until { value[$1, $2 + 0] = $5; n[$1]++ }
    END {
      for (i = 1; i <= size; i++) summarise(order[i])
      for (i = 1; i <= size; i++) {
        c = order[i]
        if (c in has_left) continue
        row = c
        gsub("/", "\t", row)
        if (!n[c]) {
          print row, until, 0, "-", "-", "-", ((c in works) ? "no valid run" : "never worked")
          continue
        }
        b = baseline_of[group[c]]
        widest = -1
        if (c == b) {
          for (k = 1; k <= size; k++)
            if (order[k] != b && group[order[k]] == group[b] && n[order[k]]) widen(half_of_speedup(b, order[k]))
        } else if (n[b]) widen(half_of_speedup(b, c))
        half = half_of_mean(c)
        if (n[c] >= least && half <= target && widest <= target)
          print row, until, n[c], sprintf("%.6g", mean[c] / 1000), shown(half), shown(widest), "narrow"
      }
    }' part=plan "$run_dir/plan.tsv" part=stopped "$stopping" part=results "$run_dir/tmp/results"
}

# ---- What is there already: failed_runs, invalid_runs, short_runs hold the names of sidecars, worked the configurations ----

gave_up='fewer timed iterations' # what makes a run short: a repeat would not help

read_sidecars() {
  grep -L '^complete=1$' "$run_dir/runs/"*.meta 2>/dev/null | while IFS= read -r sidecar; do
    say "$sidecar is damaged, as a crash of the machine leaves it; set aside, its run is measured again"
    mv "$sidecar" "$sidecar.damaged"
    [ ! -e "${sidecar%.meta}.log" ] || mv "${sidecar%.meta}.log" "${sidecar%.meta}.log.damaged"
  done
  failed_runs=$(grep -L '^exit_code=0$' "$run_dir/runs/"*.meta 2>/dev/null; grep -l '^failure=' "$run_dir/runs/"*.meta 2>/dev/null)
  short_runs=$(grep -l "^invalid=$gave_up" "$run_dir/runs/"*.meta 2>/dev/null)
  invalid_runs=$(grep -l '^invalid=' "$run_dir/runs/"*.meta 2>/dev/null)
  worked=' '
  while IFS='=' read -r key value; do
    case $key in start_uptime_s) start_s=$value ;; end_uptime_s) note_length "$start_s" "$value" ;; esac
  done <<END
$(grep -h -e '^start_uptime_s=' -e '^end_uptime_s=' "$run_dir/runs/"*.meta 2>/dev/null)
END
}

set_verdict() { # verdict on run $1: none (not measured), failed, invalid, short, fine
  verdict=fine
  [ -e "$run_dir/runs/$1.meta" ] || { verdict=none && return; }
  case $invalid_runs in *"/$1.meta"*) verdict=invalid ;; esac
  case $short_runs in *"/$1.meta"*) verdict=short ;; esac
  case $failed_runs in *"/$1.meta"*) verdict=failed ;; esac
}

note_that_it_works() {
  case $worked in *" $configuration "*) ;; *) worked="$worked$configuration " ;; esac
}

count_line() { # the last attempt is what counts
  is_wanted || return 0
  total=$((total + 1)) attempt=$run tries=0
  while set_verdict "$attempt" && [ "$verdict" != none ]; do
    last_verdict=$verdict tries=$((tries + 1)) attempt=$run.retry$tries
    [ "$verdict" = failed ] || note_that_it_works
  done
  [ "$tries" -gt 0 ] || return 0
  [ "$phase" != measure ] || last_block=$block
  finished=$((finished + 1)) repeated=$((repeated + tries - 1))
  case $last_verdict in failed) failed=$((failed + 1)) ;; invalid | short) invalid=$((invalid + 1)) ;; esac
}

# ---- The campaign ----

for_each_line() { # of the plan: calls $1, with the columns in variables
  {
    read -r header
    # shellcheck disable=SC2034 # measure writes each of these to the sidecar, by name
    while IFS=$tab read -r run block repetition phase model variant runner threads delegate batch_size input_size timeout_s \
      least_memory_mb model_file model_sha256 flags; do
      case $header in
        *least_memory_mb*) ;;
        *) flags=$model_sha256 model_sha256=$model_file model_file=$least_memory_mb least_memory_mb=- ;; # an earlier kit's plan
      esac
      [ "$flags" != - ] || flags=
      configuration=$model/$variant/$runner/$threads/$delegate/$batch_size/$input_size
      "$1"
    done
  } <"$run_dir/plan.tsv"
}

measure_line() {
  [ "$block" = "$current_block" ] || next_block
  is_wanted || return 0
  [ ! -e "$run_dir/runs/$run.meta" ] || return 0
  retry='' replaced=none
  measure
}

is_wanted() { # this line, by what was decided: not after the block that its configuration left the plan in
  case $phase in
    measure)
      case $stopped in
        *" $configuration="*)
          left_in=${stopped#*" $configuration="}
          [ "$block" -le "${left_in%% *}" ]
          ;;
      esac
      ;;
    *) # of what is too big only those that are there
      [ "$phase" != pilot ] || [ "$iterations" = auto ] || return 1
      case $too_big in *" $configuration "*) [ -e "$run_dir/runs/$run.meta" ] ;; esac
      ;;
  esac
}

next_block() { # decides what the block that is through allows to decide
  if [ "$learning" = yes ]; then
    case $current_block in
      '') ;;
      0) [ "$iterations" = fixed ] || choose_iterations ;;
      *) [ "$adaptive" = no ] || end_block "$current_block" ;;
    esac
  fi
  current_block=$block
  expect_idle
}

is_due() { # a repeat of this line, in this round; verdict: on the attempt before it
  [ "$phase" = measure ] || return 1
  case $too_big in *" $configuration "*) return 1 ;; esac
  if [ "$round" -eq 1 ]; then set_verdict "$run"; else set_verdict "$run.retry$((round - 1))"; fi
  [ ! -e "$run_dir/runs/$run.retry$round.meta" ] || return 1
  case $verdict in
    invalid) return 0 ;;
    failed) case $worked in *" $configuration "*) return 0 ;; esac ;; # what never worked is not tried again
  esac
  return 1
}

count_due() { ! is_due || due=$((due + 1)); }

repeat_line() {
  is_due || return 0
  replaced=$verdict retry=$round run=$run.retry$round
  measure
  due=$((due - 1))
}

leave() {
  [ -n "$lock_is_ours" ] || return 0
  restore_control
  rm -f "$lock" "$lock.runner" "$lock.watchdog"
}

stop_by_signal() { # $1: exit code
  trap '' TERM INT HUP
  # The signal may have come between the start of the runner, or of its watchdog, and the note of its pid.
  newest=${!:-}
  if [ "$newest" != "${runner_pid:-$newest_before}" ] && read_stat "$newest" && [ "$stat_parent" = $$ ]; then
    if [ -z "$runner_pid" ]; then runner_pid=$newest; else watchdog_pid=$newest; fi
  fi
  end_helper "$watchdog_pid" watchdog
  if [ -n "$runner_pid" ]; then
    signal_tree KILL "$runner_pid"
    wait "$runner_pid" 2>/dev/null
    end_outside
  fi
  state=stopped message="stopped; start it again to go on"
  write_progress
  say "stopped after $finished of $total runs"
  trap - EXIT # mksh would exit with the trap's own code
  leave
  exit "$1"
}

run_campaign() {
  [ -r "$run_dir/plan.tsv" ] || die 66 "there is no plan to read: $run_dir/plan.tsv"
  mkdir -p "$run_dir/runs" "$run_dir/tmp" || die 73 "cannot write to $run_dir"
  take_lock
  trap leave EXIT
  trap 'stop_by_signal 143' TERM
  trap 'stop_by_signal 130' INT
  trap 'stop_by_signal 129' HUP
  end_orphan
  check_lock
  if ! restore_control && [ "$governor$disable_turbo$energy_unlock" != nono ]; then
    die 77 "settings of an earlier campaign must be put back before others are made; $control tells what they were"
  fi
  read_sidecars
  set_learning
  read_decisions
  for_each_line count_line
  run='-'
  find_sensors
  set_reserve
  set_control
  find_meter
  find_resources
  set_now
  begun_s=$now_s
  set_free_kb
  say "campaign '$campaign' on '$host': $finished of $total runs are there already"
  [ "$learning" = no ] || list_all_results >"$run_dir/tmp/results"
  at_most=$adaptive current_block=''
  for_each_line measure_line
  block='' && next_block
  at_most=no
  round=1
  while [ "$round" -le "$retries" ]; do
    due=0
    for_each_line count_due
    expect_idle
    [ "$due" -eq 0 ] || for_each_line repeat_line
    round=$((round + 1))
  done
  restore_control
  run='-' state='done' message=
  write_progress
  write_file "$run_dir/DONE" "finished=$finished
failed=$failed
invalid=$invalid
repeated=$repeated
total=$total
" durable || die 73 "disk full: cannot write $run_dir/DONE"
  rm -rf "$run_dir/tmp"
  say "done: $finished runs, $failed of them failed, $invalid invalid; $repeated repeats"
}

clean_up() { # after a script that was killed
  take_lock >/dev/null
  trap leave EXIT
  end_orphan
  restore_control || exit 77
}

set_boot_id
case ${1:-run} in
  run)
    [ ! -e "$run_dir/DONE" ] || exit 0
    run_campaign
    ;;
  start)
    [ ! -e "$run_dir/DONE" ] || exit 0
    set_holder_alive
    if [ "$alive" = yes ] && [ "$lock_campaign" = "$campaign" ]; then exit 0; fi
    [ "$alive" = no ] || refuse
    detach= # a session of its own, so that nothing that ends ours reaches it
    if command -v setsid >/dev/null 2>&1; then detach=setsid; fi
    rm -f "$run_dir/progress"
    trap '' HUP # inherited; not every busybox has nohup
    # shellcheck disable=SC2086 # no setsid, no word
    $detach sh "$run_dir/run_benchmark.sh" run </dev/null >>"$run_dir/script.log" 2>&1 &
    ;;
  status)
    set_holder_alive
    [ "$lock_campaign" = "$campaign" ] || alive=no
    if [ -e "$run_dir/DONE" ]; then echo is_done=yes; else echo is_done=no; fi
    echo "alive=$alive"
    echo "boot_id=$boot_id"
    cat "$run_dir/progress" 2>/dev/null
    exit 0
    ;;
  stop)
    set_holder_alive
    [ "$lock_campaign" = "$campaign" ] || exit 0
    if [ "$alive" = yes ]; then
      kill -TERM "$lock_pid"
      while [ "$alive" = yes ]; do
        sleep 1
        set_holder_alive
      done
      echo "stopped $campaign"
    else
      clean_up
    fi
    ;;
  restore)
    set_holder_alive
    [ "$alive" = no ] || refuse
    [ ! -e "$control" ] || clean_up
    ;;
  *)
    echo "usage: sh run_benchmark.sh [run|start|status|stop|restore]" >&2
    exit 64
    ;;
esac

