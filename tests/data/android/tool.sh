#!/system/bin/sh
# shellcheck shell=ksh # which mksh is
# Stands in for Android's tools: says what is in the answer for its command line, "dumpsys battery" in the file
# dumpsys_battery; without one, what the real tool says that knows nothing of it.
line="${0##*/}${*:+ $*}"
name=${line//[ \/]/_}
changed=/data/system/answers # what came after the phone was made; writable by all, as far as tools can change answers
for file in $changed/"$name" /system/etc/answers/"$name"; do
    [ ! -f "$file" ] || exec cat "$file"
done
case $line in
    getprop)
        sed -n 's/^\([^=]*\)=\(.*\)/[\1]: [\2]/p' /system/build.prop
        ;;
    getprop\ *)
        sed -n "s/^$1=//p" /system/build.prop | tail -n 1 | grep . || echo "${2:-}"
        ;;
    dumpsys\ *) echo "Can't find service: $1" ;;
    settings\ get\ *) echo null ;;
    settings\ put\ *) echo "$4" >"$changed/settings_get_$2_$3" ;;
    settings\ delete\ *)
        rm -f "$changed/settings_get_$2_$3"
        echo "Deleted 1 rows"
        ;;
    cmd\ *)
        echo "cmd: Can't find service: $1" >&2
        exit 20
        ;;
esac
