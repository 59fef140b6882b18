#!/system/bin/sh
# shellcheck shell=ksh # which mksh is
# Stands in for TensorFlow's official benchmark_model for Android on a phone of tests/labs, which has neither GPU nor
# DSP. It has the delegates' flags, and says of a delegate what is in the answers benchmark_model_gpu,
# benchmark_model_nnapi and benchmark_model_hexagon. Whatever that is, the graph runs on the CPU: measured by
# runners/litert.py where the lab has Python for it, else with the made-up numbers of fake_benchmark_model.sh.
set -o pipefail
there=/mnt/tests
lines=/dev/null echoed=
for argument; do
    shift
    case $argument in
        --use_gpu=true) lines=gpu echoed="Use gpu" ;;
        --use_nnapi=true) lines=nnapi echoed="Use NNAPI" ;;
        --use_hexagon=true) lines=hexagon echoed="Use Hexagon" ;;
        *) set -- "$@" "$argument" ;;
    esac
done
if [ -n "$echoed" ]; then
    answer=answers/benchmark_model_$lines
    lines=/data/system/$answer # what came after the phone was made
    [ -f "$lines" ] || lines=/system/etc/$answer
fi

measure() {
    if [ -d $there/python ]; then
        export PYTHONHOME=$there/python PYTHONPATH=$there/packages LD_LIBRARY_PATH=$there/python/lib
        $there/python/bin/python3 $there/runners/litert.py "$@" | sed "/^EDGEBENCH /d" # such lines are litert.py's own
    else
        sh $there/fake_benchmark_model.sh "$@"
    fi
}

measure "$@" | sed -e "/^INFO: Graph: /s/\$/${echoed:+\\nINFO: $echoed: [1]}/" -e "/^INFO: Loaded model /r $lines"
