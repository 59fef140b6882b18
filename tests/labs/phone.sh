# shellcheck shell=sh
# Process 1 of a phone, in namespaces of its own: makes its root in the directory where we are, as far as it is not there
# yet, and runs adbd. Says its number as seen from outside, then what adbd says.
# FILES has adbd.py and the directory android. ADBD has adbd.py's arguments, BOOT_ID is new at each boot.
set -e
read -r pid rest < /proc/self/stat
echo "$pid"
# What Android 10 has of toybox, as far as Debian's toybox has it, and then what that lacks.
toys="base64 basename blkid cal cat chattr chgrp chmod chown chroot chrt cksum clear cmp comm cp cpio cut date devmem df
    dirname dmesg dos2unix du echo egrep env expand fallocate false fgrep file find flock fmt free getconf grep groups
    gunzip head hostname hwclock id ifconfig inotifyd insmod ionice iorenice iotop kill killall ln logname losetup ls
    lsattr lsmod lspci lsusb makedevs md5sum microcom mkdir mkfifo mknod mkswap mktemp modinfo mount mountpoint mv nbd-client
    nc netcat netstat nice nl nohup nproc nsenter od paste patch pgrep pidof ping ping6 pivot_root pkill pmap printenv
    printf prlimit ps pwd pwdx readlink realpath renice rev rfkill rm rmdir rmmod sed seq setfattr setsid sha1sum sha224sum
    sha256sum sha384sum sha512sum sleep sort split stat strings swapoff swapon sync sysctl tac tail tar taskset tee time
    timeout top touch true truncate tty ulimit umount uname uniq unix2dos unlink unshare uptime usleep uudecode uuencode
    uuidgen vconfig vmstat watch wc which whoami xargs xxd yes zcat"
others="dd diff expr gzip tr"
tools="am cmd dumpsys getprop logcat pm settings setprop svc"

if [ ! -d root/system ]; then
    mkdir -p root/system/bin root/system/etc/answers root/data/misc/adb root/data/local/tmp root/dev root/proc root/sys \
        root/sdcard root/vendor root/usr/lib root/usr/lib64
    ln -s system/etc root/etc
    ln -s usr/lib root/lib
    ln -s usr/lib64 root/lib64
    cp /usr/bin/mksh root/system/bin/sh
    cp /usr/bin/original-awk root/system/bin/awk
    for other in toybox $others; do cp "/usr/bin/$other" root/system/bin/; done
    for toy in $toys; do ln -s toybox "root/system/bin/$toy"; done
    for tool in $tools; do cp "$FILES/android/tool.sh" "root/system/bin/$tool"; done
    cp "$FILES"/android/answers/* root/system/etc/answers/
    cp "$FILES/android/build.prop" root/system/
    case $(uname -m) in aarch64) abi=arm64-v8a ;; *) abi=$(uname -m) ;; esac
    echo "ro.product.cpu.abi=$abi" >> root/system/build.prop
    echo 'shell:x:2000:2000::/:/system/bin/sh' > root/system/etc/passwd
    echo 'shell:x:2000:' > root/system/etc/group
    chmod 755 root/system/bin/*
    [ ! -f adb_keys ] || cp adb_keys root/data/misc/adb/
fi
mount --bind -o ro /usr/lib root/usr/lib
[ ! -d /usr/lib64 ] || mount --bind -o ro /usr/lib64 root/usr/lib64
[ ! -f data.img ] || mount -o loop,noatime,nodelalloc data.img root/data/local/tmp # see sshlab.py
chown 2000:2000 root/data/local/tmp
chmod 771 root/data/local root/data/local/tmp
cd root
mkdir -p run tmp
. "$FILES/mounts.sh"
umount run tmp
rmdir run tmp # there are none
echo "$BOOT_ID" > ../boot_id
mount --bind ../boot_id proc/sys/kernel/random/boot_id
cd ..
# shellcheck disable=SC2086 # arguments
python3 -I -S "$FILES/adbd.py" root $ADBD
exit 1 # not the last command, or sh would become it, and nobody would see to processes without parents
