#!/bin/sh
# A stand-in for a runner: does what the model's file name says, in the log format of benchmark_model.
for word; do
  case $word in
    --graph=*) graph=${word#--graph=} ;;
  esac
done
echo "INFO: STARTING!"
echo "INFO: Graph: [$graph]"
case ${graph##*/} in
  *crash*)
    echo "ERROR: Benchmarking failed." >&2
    exit 3
    ;;
  *hang*) exec sleep 600 ;;
  *slow*) sleep 1 ;;
  *fill*) # writes until there is no room
    while echo "INFO: 0123456789012345678901234567890123456789012345678901234567890123456789"; do :; done
    ;;
esac
cat <<'LOG'
INFO: Initialized session in 10.5ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=2 first=5000 curr=4000 min=4000 max=5000 avg=4500 std=500 p5=4000 median=5000 p95=5000

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=4100 curr=4000 min=3900 max=4200 avg=4012 std=50 p5=3950 median=4000 p95=4100

INFO: Inference timings in us: Init: 10500, First inference: 5000, Warmup (avg): 4500, Inference (avg): 4012
INFO: Memory footprint delta from the start of the tool (MB): init=10 overall=12.5
LOG
