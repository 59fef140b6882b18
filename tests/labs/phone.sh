# shellcheck shell=sh
# Process 1 of a phone, in namespaces of its own: makes its root in the directory where we are, as far as it is not
# there yet, and runs adbd. Says its number as seen from outside, then what adbd says. In the environment:
#   FILES            the directory with what adblab.py installs
#   PROGRAMS         those of this machine that the phone has as well
#   ADBD             arguments of adbd.py
#   BOOT_ID          a new one at each boot
#   PYTHON           for adbd.py
#   PREFIX PACKAGES  where the Python is with which the stand-in for benchmark_model measures; empty where it does not
set -e
read -r pid rest < /proc/self/stat
echo "$pid"
if [ ! -d root/system ]; then
    mkdir -p root/system/etc/answers root/data/app root/data/local/tmp root/data/misc/adb root/data/system/answers \
        root/mnt/tests root/dev root/proc root/sdcard root/sys root/usr root/vendor
    cp "$FILES/fake_benchmark_model.sh" "$FILES/android/benchmark_model.sh" "$FILES/android/app.sh" root/mnt/tests/
    ln -s system/etc root/etc
    cp -a "$FILES/bin" root/system/
    for program in $PROGRAMS; do cp "$(command -v "$program")" root/system/bin/; done
    ln -s mksh root/system/bin/sh
    ln -s original-awk root/system/bin/awk
    cp "$FILES"/android/answers/* root/system/etc/answers/
    cp "$FILES/android/build.prop" root/system/
    case $(uname -m) in aarch64) abi=arm64-v8a ;; *) abi=$(uname -m) ;; esac
    echo "ro.product.cpu.abi=$abi" >> root/system/build.prop
    echo 'shell:x:2000:2000::/:/system/bin/sh' > root/system/etc/passwd
    echo 'shell:x:2000:' > root/system/etc/group
    echo '11-26 02:30:51.123     1     1 I boot    : done' > root/data/system/log
    chmod 777 root/data/app root/data/system/answers root/data/system/log
    [ ! -f adb_keys ] || cp adb_keys root/data/misc/adb/
fi
for libraries in /lib /lib64 /usr/lib /usr/lib64; do
    if [ -h "$libraries" ]; then
        cp -P "$libraries" root/
    elif [ -d "$libraries" ]; then
        mkdir -p "root$libraries"
        mount --bind -o ro "$libraries" "root$libraries"
    fi
done
[ ! -f root/usr/lib/os-release ] || mount --bind /dev/null root/usr/lib/os-release # it is not Debian
if [ -n "$PREFIX" ]; then
    mkdir -p root/mnt/tests/python root/mnt/tests/packages
    mount --bind -o ro "$PREFIX" root/mnt/tests/python
    mount --bind -o ro "$PACKAGES" root/mnt/tests/packages
    cp -r "$FILES/runners" root/mnt/tests/
fi
[ ! -f data.img ] || mount -o loop,noatime,nodelalloc data.img root/data/local/tmp # see sshlab.py
chown 2000:2000 root/data/local/tmp
chmod 771 root/data/local root/data/local/tmp
cd root
mkdir -p run tmp
# shellcheck source=tests/labs/mounts.sh
. "$FILES/mounts.sh"
umount run tmp
rmdir run tmp # there are none
echo "$BOOT_ID" > ../boot_id
mount --bind ../boot_id proc/sys/kernel/random/boot_id
cd ..
# shellcheck disable=SC2086 # arguments
"$PYTHON" -I -S "$FILES/adbd.py" root $ADBD
exit 1 # not the last command, or sh would become it, and nobody would see to processes without parents
