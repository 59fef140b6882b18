#!/bin/sh
# Print raw facts about this machine, in sections that begin with `== <name>`; the last is `== end`.
# Read by parse() in module_utils/host_facts.py of the collection edgebench.testbed.
#
# Everything is optional: what a machine does not have leaves nothing, never an error. Files are read with the
# shell's own `read`, so a host without lscpu, grep or even cat still tells most of what it is. Nothing is written,
# root is not needed.
#
# Usage: collect_facts.sh [ROOT]      ROOT: where /proc, /sys and /etc are found, if not at /

root=${1-}
LC_ALL=C
export LC_ALL
exec 2>/dev/null # over a terminal (ssh -tt) complaints would mix with facts

# Print stdin; the last line may lack its end.
copy() {
    while IFS= read -r line || [ -n "$line" ]; do
        echo "$line"
    done
}

# Print the first line of each file as <path>=<line>. `read` also drops the NUL that ends a device-tree string.
files() {
    for file; do
        value=
        IFS= read -r value <"$file"
        [ -z "$value" ] || echo "${file#"$root"}=$value"
    done
}

# Of /proc/cpuinfo: the first processor, and of the others only what counts or may differ; then the board's lines.
cpuinfo() {
    first=yes
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        '') first= ;;
        processor* | 'CPU implementer'* | 'CPU part'* | Hardware* | Model* | Revision*) echo "$line" ;;
        *) [ -z "$first" ] || echo "$line" ;;
        esac
    done
}

# (The *_list files beside core_id cannot be used: they read as empty where a shell reads byte by byte.)
echo '== files'
files "$root/proc/sys/kernel/osrelease" "$root/proc/sys/kernel/hostname" "$root/proc/sys/kernel/arch" \
    "$root/proc/device-tree/model" "$root/sys/class/dmi/id/sys_vendor" "$root/sys/class/dmi/id/product_name" \
    "$root/sys/hypervisor/type" \
    "$root"/sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id \
    "$root"/sys/devices/system/cpu/cpu[0-9]*/topology/die_id \
    "$root"/sys/devices/system/cpu/cpu[0-9]*/topology/core_id \
    "$root"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor \
    "$root"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_m[ai][xn]_freq \
    "$root/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq" \
    "$root/sys/devices/system/cpu/intel_pstate/no_turbo" "$root/sys/devices/system/cpu/cpufreq/boost" \
    "$root"/sys/devices/system/cpu/cpu0/cache/index*/level \
    "$root"/sys/devices/system/cpu/cpu0/cache/index*/type \
    "$root"/sys/devices/system/cpu/cpu0/cache/index*/size \
    "$root"/sys/class/thermal/thermal_zone*/type \
    "$root"/sys/class/powercap/intel-rapl:*/name \
    "$root"/sys/class/hwmon/hwmon*/name "$root"/sys/bus/iio/devices/iio:device*/name

echo '== cpuinfo'
[ -r "$root/proc/cpuinfo" ] && cpuinfo <"$root/proc/cpuinfo"

echo '== lscpu'
lscpu | copy # through a pipe, since lscpu breaks long lines on a terminal

echo '== meminfo'
[ -r "$root/proc/meminfo" ] && while read -r key value _; do
    case $key in MemTotal: | SwapTotal:) echo "$key $value" ;; esac
done <"$root/proc/meminfo"

echo '== machine'
uname -m

echo '== long_bit' # 32-bit programs on a 64-bit kernel, as on some Raspberry Pis
getconf LONG_BIT

echo '== os_release'
for file in "$root/etc/os-release" "$root/usr/lib/os-release"; do
    [ -r "$file" ] && copy <"$file" && break
done

echo '== libc'
getconf GNU_LIBC_VERSION
command -v ldd >/dev/null && ldd --version 2>&1
# both libraries say what they are when they are run; small systems lack getconf and ldd, and some ldd of musl do not say
for file in "$root"/lib/*/libc.so.6 "$root"/lib64/libc.so.6 "$root"/lib/libc.so.6 "$root"/lib/ld-musl-*.so.1; do
    [ -x "$file" ] && "$file" 2>&1
done

echo '== python'
python3 --version

echo '== user'
echo "home=$HOME"
echo "uid=$(id -u)"
echo "python=$(command -v python3)"
echo "time=$(date -u +%s)"

echo '== vm'
systemd-detect-virt --vm

echo '== container'
systemd-detect-virt --container
[ -e "$root/.dockerenv" ] && echo docker
[ -e "$root/run/.containerenv" ] && echo podman

echo '== vcgencmd' # firmware of a Raspberry Pi; it has been seen to hang
timeout 5 vcgencmd version

echo '== pmic' # of a Raspberry Pi 5
timeout 5 vcgencmd pmic_read_adc

# Of Android's properties those that say what the phone is, and none that says whose it is.
echo '== getprop'
getprop | while IFS= read -r line; do
    case $line in
    '[ro.product.manufacturer]'* | '[ro.product.model]'* | '[ro.product.cpu.abi]'* | '[ro.build.version.release]'* | \
        '[ro.build.version.sdk]'* | '[ro.build.fingerprint]'* | '[ro.soc.m'* | '[ro.board.platform]'* | \
        '[ro.hardware]'*) echo "$line" ;;
    esac
done

echo '== surfaceflinger'
timeout 5 dumpsys SurfaceFlinger </dev/null | while IFS= read -r line; do
    case $line in *GLES:*) echo "$line" && break ;; esac
done

echo '== end'
