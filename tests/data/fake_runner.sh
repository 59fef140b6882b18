#!/bin/sh
# A runner that does what <model>.during says, misbehaves as its model's file name says, and else is the stand-in for
# benchmark_model beside it.
for argument; do
    case $argument in
        --graph=*) graph=${argument#*=} ;;
    esac
done
during=${graph%.tflite}.during
# shellcheck disable=SC1090 # a test wrote it
[ ! -e "$during" ] || . "$during"
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
exec sh "${0%/*}/fake_benchmark_model.sh" "$@"
