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
logged=/data/system/log
apk=/data/app/org.tensorflow.lite.benchmark/base.apk # the only app
case $line in
    am\ start\ *) # -S -n ACTIVITY --es args FLAGS
        echo "Starting: Intent { cmp=$4 (has extras) }"
        if [ -f "$apk" ]; then
            setsid sh /mnt/tests/app.sh "$7" </dev/null >/dev/null 2>&1 &
        else
            printf 'Error type 3\nError: Activity class {%s} does not exist.\n' "$4"
        fi
        ;;
    am\ force-stop\ *) pkill -f /mnt/tests/app.sh ;;
    log\ *) # -p PRIORITY -t TAG MESSAGE; APP is the number of an app's process
        printf '%s %5d %5d %s %-8s: %s\n' "$(date '+%m-%d %H:%M:%S.000')" "${APP:-$$}" "${APP:-$$}" \
            "$(echo "$2" | tr '[:lower:]' '[:upper:]')" "$4" "$5" >>"$logged"
        ;;
    logcat\ *) exec tail -n 1 -f "$logged" ;;
    pm\ path\ *)
        [ -f "$apk" ] || exit 1
        echo "package:$apk"
        ;;
    pm\ install\ *)
        mkdir -p "${apk%/*}"
        for file; do :; done
        cp "$file" "$apk" && echo Success
        ;;
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
