#!/bin/sh
# Process 1 of a container, in namespaces of its own and with this machine's tools until the last line.
# usage: container.sh DIRECTORY IMAGE NAME WORKDIR COMMAND [ARGUMENT ...]
# Prints its number, as zun-compute sees it, when the container is ready.
set -e
directory=$1 image=$2 name=$3 workdir=$4
shift 4
read -r pid _ < /proc/self/stat # /proc is zun-compute's until another one is mounted
exec 3>&1 > "$directory/log" 2>&1 < /dev/null
hostname "$name"
cd "$directory"
mkdir -p upper overlay root
mount -t overlay overlay -o lowerdir="$image",upperdir=upper,workdir=overlay root
cd root
echo "$name" > etc/hostname
printf '%s\n' "127.0.0.1 localhost $name" > etc/hosts
# shellcheck source=tests/labs/mounts.sh
. "${0%/*}/../../mounts.sh"
mkdir -p "./$workdir"
# shellcheck disable=SC2016 # the inner shell's own
exec chroot . /bin/sh -c 'cd "$0" && echo "$1" >&3 && exec 3>&- && shift && exec "$@"' "$workdir" "$pid" "$@"
