#!/system/bin/sh
# Stands in for TensorFlow's benchmark app, as `am start` gives it its flags, in one word: what the stand-in for the
# binary prints goes to the phone's log.
export APP=$$
say() { log -p "$1" -t "$2" "$3"; }

say i tflite_BenchmarkModelActivity "Running TensorFlow Lite benchmark with args: $1"
# shellcheck disable=SC2086 # several flags
sh /mnt/tests/benchmark_model.sh $1 2>&1 | while IFS= read -r line; do
    case $line in
        "WARN: "*) say w tflite "${line#*: }" ;;
        "ERROR: Benchmarking failed.") ;; # the app does not say so
        "ERROR: "*) say e tflite "${line#*: }" ;;
        *) say i tflite "${line#INFO: }" ;;
    esac
done
until false; do sleep 1; done # the activity stays, and goes by its name (am force-stop)
