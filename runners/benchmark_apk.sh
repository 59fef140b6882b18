#!/bin/sh
# The runner benchmark_apk: TFLite's benchmark_model inside an Android app, as apps run it. On the phone, by the shell user:
#   sh benchmark_apk.sh --graph=FILE [--num_threads=4 ...]
# Takes the tool's flags and prints its lines as the phone's log has them. Exit 0 = measured.
# (tensorflow/lite/tools/benchmark/android/README.md says how the app is started; it measures while it is being created,
# so `am start -W`, which waits for that, has nothing to wait for that the log would not tell.)
set -f
package=org.tensorflow.lite.benchmark
activity=$package/.BenchmarkModelActivity
log_s=10   # the longest that a line takes through the log
begin_s=30 # the longest from `am start` to the app's first line
quiet_s=2  # the tool prints what follows its timings at once
error_s=10 # after an error this long a silence is worth a look whether the app is at work at all
lines=${TMPDIR:-/data/local/tmp}/benchmark_apk.$$
token=$$-$(date +%s)
logcat_pid='' started=''

finish() {
    trap '' HUP INT TERM
    [ -z "$logcat_pid" ] || kill "$logcat_pid" 2>/dev/null
    [ -z "$started" ] || am force-stop "$package" >/dev/null 2>&1 </dev/null
    rm -f "$lines"
    exit "$1"
}

fail() { # in the tool's own words, so that who reads logs finds the reason
    printf 'ERROR: %s\nERROR: Benchmarking failed.\n' "$*"
    finish 1
}

take_line() { # the next whole line of logcat, in $line; false = there is none yet
    if IFS= read -r part <&3; then
        line=$held$part held=''
    else
        held=$held$part
        false
    fi
}

has_begun() { # whether the log has our line; what is older is taken from it
    while take_line; do
        case $line in *" edgebench"*": begin $token") return 0 ;; esac
    done
    false
}

open_up() { # lets the app, another user, read file $1 in directories that are ours
    chmod o+r "$1" 2>/dev/null
    dir=${1%/*}
    while [ -n "$dir" ] && chmod o+x "$dir" 2>/dev/null; do dir=${dir%/*}; done
}

is_at_work() { # whether the app's activity is among those that there are
    dumpsys activity activities </dev/null 2>/dev/null | grep -q "Hist *#.*$package/"
}

graph=''
for flag; do
    case $flag in
        --graph=*) graph=${flag#*=} ;;
    esac
    case $flag in
        *[[:space:]]*) fail "the app cannot be given '$flag': it takes a blank for the end of a flag" ;;
    esac
done
[ -f "$graph" ] || fail "there is no model file '$graph'"

trap 'finish 129' HUP
trap 'finish 130' INT
trap 'finish 143' TERM

# What is logged from now on. That a line of our own arrives says that the log works, and where this run begins in it.
true >"$lines" || fail "cannot write $lines"
logcat -v threadtime -T 1 -b main -b crash -s edgebench:I tflite:V tflite_BenchmarkModelActivity:V AndroidRuntime:E libc:F \
    chatty:I </dev/null >>"$lines" 2>&1 &
logcat_pid=$!
exec 3<"$lines"
held='' line='' waited=0
log -p i -t edgebench "begin $token"
until has_begun; do
    [ "$waited" -lt "$log_s" ] || fail "this phone's log does not show what is written to it; see 'Logger buffer sizes'" \
        "in its developer options (logcat said: $line)"
    waited=$((waited + 1))
    sleep 1
done

open_up "$graph"
said=$(am start -S -n "$activity" --es args "$*" </dev/null 2>&1)
case $?/$said in
    *"does not exist"*)
        case $(pm path "$package" </dev/null 2>/dev/null) in
            package:*) fail "the app $package on this phone has no BenchmarkModelActivity; take TensorFlow's APK" ;;
            *) fail "the app $package is not installed; play again, which installs it" ;;
        esac ;;
    0/*[Ee]rror* | 0/*Exception* | [!0]*)
        why=$(printf '%s\n' "$said" | grep -i -e error -e exception | tail -n 1)
        fail "Android does not start the app: ${why:-$said}" ;;
esac
started=yes

pid='' seen='' crashed='' crash='' error='' lost='' begun='' measured='' quiet=0
while :; do
    while take_line; do
        # date, time, process, thread, level, tag: message
        # shellcheck disable=SC2086
        set -- $line
        tag=${6%:}
        case $line in
            *"Unexpected EOF!"*) lost=yes ;;
        esac
        [ $# -ge 6 ] || continue
        if [ -z "$pid" ] && [ "$tag" = tflite_BenchmarkModelActivity ]; then
            pid=$3
            [ -z "${EDGEBENCH_PROCESSES:-}" ] || echo "$pid" >"$EDGEBENCH_PROCESSES" # for who looks at what they use
            [ ! -d "/proc/$pid" ] || seen=yes
        fi
        case $tag/$line in
            chatty/*"$package"*expire*) lost=yes ;;
            AndroidRuntime/*"Process: $package, PID: "*) pid=${line##*PID: } crashed=yes ;;
        esac
        [ "$3" = "$pid" ] || continue # another app may have TFLite, too
        quiet=0
        printf '%s\n' "$line"
        message=${line#*"$tag"}
        message=${message#"${message%%[! :]*}"}
        case $tag/$5/$message in
            tflite/?/*STARTING!*) begun=${begun}start ;;
            tflite/?/*"Graph: ["*) begun=${begun}graph ;;
            tflite/?/*"nference timings in us: "*) measured=yes ;;
            tflite/E/*) error=yes ;;
            libc/F/*) crashed=yes crash=$message ;;
            AndroidRuntime/*/"FATAL EXCEPTION"* | AndroidRuntime/*/"Process: "*) crashed=yes ;;
            AndroidRuntime/*) crashed=yes crash=${crash:-$message} ;;
        esac
    done
    if [ -n "$lost" ]; then
        fail "lines of the phone's log were lost; a larger one may hold them all: adb shell logcat -G 4M"
    elif [ -n "$measured" ]; then
        [ "$quiet" -lt "$quiet_s" ] || break
    elif [ -n "$crashed" ]; then
        [ "$quiet" -eq 0 ] || fail "the app crashed${crash:+: $crash}"
    elif [ -z "$pid" ]; then
        [ "$quiet" -lt "$begin_s" ] || fail "the app did not begin within $begin_s s; the phone's screen must be on and" \
            "unlocked, and nothing may be asking for permission there"
    elif [ -n "$seen" ] && [ ! -d "/proc/$pid" ]; then
        [ "$quiet" -eq 0 ] || fail "the app is gone in the middle of the run; did Android end it, for want of memory?"
    elif [ -n "$error" ] && [ "$quiet" -gt 0 ] && [ $((quiet % error_s)) -eq 0 ]; then
        is_at_work || fail "the app ended without a result"
    fi
    quiet=$((quiet + 1))
    sleep 1
done
[ "$begun" = startgraph ] || fail "the beginning of this run is missing in the phone's log; a larger one may hold it:" \
    "adb shell logcat -G 4M"
finish 0
