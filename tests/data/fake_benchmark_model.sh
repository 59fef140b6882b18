#!/bin/sh
# Stands in for TensorFlow's official benchmark_model where it cannot be had: its streams, exit codes and lines (TF 2.19
# and later), with made-up numbers, or those that a test gives. Measures nothing.
graph=
num_runs=50 given_runs= evaluate=
avg_us=${FAKE_AVG_US:-60255.5} std_us=${FAKE_STD_US:-20630} timed=${FAKE_TIMED:-}
unconsumed=
for argument; do
    case $argument in
        --graph=*) graph=${argument#*=} ;;
        --num_runs=*) num_runs=${argument#*=} given_runs=yes ;;
        --help)
            printf 'ERROR: usage: %s <flags>\nFlags:\n\t--num_runs=50\tint32\toptional\n\t--graph=\tstring\toptional\n' "$0" >&2
            echo "ERROR: Benchmarking failed." >&2
            exit 1
            ;;
        --evaluate=*) evaluate=${argument#*=} ;;
        --num_threads=* | --min_secs=* | --max_secs=* | --warmup_runs=* | --warmup_min_secs=* | --use_xnnpack=* | --enable_op_profiling=*) ;;
        *) unconsumed="$unconsumed $argument" ;;
    esac
done

echo "INFO: STARTING!"
[ -z "$unconsumed" ] || echo "WARN: Unconsumed cmdline flags:$unconsumed"
if [ -z "$graph" ]; then
    echo "ERROR: Please specify the name of your TF Lite input file with --graph" >&2
    echo "ERROR: Benchmarking failed." >&2
    exit 1
fi
echo "INFO: Log parameter values verbosely: [0]"
[ -z "$given_runs" ] || echo "INFO: Min num runs: [$num_runs]"
echo "INFO: Graph: [$graph]"
echo "INFO: Signature to run: []"
if [ ! -f "$graph" ]; then
    printf "ERROR: Could not open '%s'.\nERROR: The model allocation is null/empty\n" "$graph" >&2
    printf 'ERROR: Failed to load model %s\nERROR: Benchmarking failed.\n' "$graph" >&2
    exit 1
fi
cat <<END
INFO: Loaded model $graph
INFO: The input model file size (MB): 0.001272
INFO: Initialized session in 0.797ms.
END
if [ -n "$evaluate" ]; then # as this project's own runners do
    echo "EDGEBENCH evaluation={\"file\": \"$evaluate\", \"labels\": [0, 1], \"predicted\": [0, 1], \"classes\": [\"a\", \"b\"]}"
    exit 0
fi
cat <<END
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=33350 curr=56288 min=33350 max=81652 avg=55900.2 std=12533 p5=33350 median=53289 p95=81652

INFO: Running benchmark for at least $num_runs iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=${timed:-$num_runs} first=63207 curr=93084 min=19968 max=114578 avg=$avg_us std=$std_us p5=25912 median=59735 p95=96369

INFO: Inference timings in us: Init: 797, First inference: 33350, Warmup (avg): 55900.2, Inference (avg): $avg_us
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=3.36328 overall=3.48828
END
[ -z "${FAKE_LINES:-}" ] || cat "$FAKE_LINES"
