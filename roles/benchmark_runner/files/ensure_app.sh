#!/bin/sh
# Say of an Android app whether the phone has it as it shall be (same, differs, absent), or install it. Where that fails:
# exit 1, and why, on one line. Begins with a function sha256 of its stdin where the phone has no sha256sum.
#   ensure_app.sh look|install PACKAGE SHA256 APK
package=$2 wanted=$3 apk=$4

look() {
    installed=$(pm path "$package" </dev/null 2>/dev/null | head -n 1)
    installed=${installed#package:}
    if [ -z "$installed" ]; then
        echo absent
    elif [ "$(sha256 <"$installed")" = "$wanted" ]; then
        echo same
    else
        echo differs
    fi
}

[ "$1" = install ] || { look && exit; }
said=$(pm install -r -d -g "$apk" </dev/null 2>&1)
case $said in
    *INSTALL_FAILED_DEPRECATED_SDK_VERSION*) # Android 14 and later, of apps that are built for Android 5
        said=$(pm install --bypass-low-target-sdk-block -r -d -g "$apk" </dev/null 2>&1) ;;
esac
case $said in
    *Success*)
        [ "$(look)" != same ] || exit 0
        why="Android says that it is installed, and has another file in its place" ;;
    *INSTALL_FAILED_UPDATE_INCOMPATIBLE* | *INSTALL_FAILED_SHARED_USER_INCOMPATIBLE*)
        why="another build of the app is there, signed by somebody else; remove it first: adb uninstall $package" ;;
    *INSTALL_FAILED_NO_MATCHING_ABIS*)
        why="the app is built for other processors than this phone's, $(getprop ro.product.cpu.abilist); give another" ;;
    *INSTALL_FAILED_USER_RESTRICTED*)
        why="the phone lets nobody install over USB; switch on 'Install via USB' in its developer options (Xiaomi), keep it \
unlocked and agree when it asks" ;;
    *INSTALL_FAILED_INSUFFICIENT_STORAGE*) why="the phone has no room for it; make some" ;;
    *INSTALL_FAILED_OLDER_SDK*) why="the app needs a newer Android; give an older build" ;;
    *INSTALL_FAILED_VERIFICATION_*)
        why="Google Play Protect refused it; switch off 'Verify apps over USB' in the phone's developer options" ;;
    *INSTALL_PARSE_FAILED* | *INSTALL_FAILED_INVALID_APK*) why="it is no whole APK; download it again" ;;
    *) why="Android refused it" ;;
esac
printf '%s (pm install: %s)\n' "$why" "$(printf '%s\n' "$said" | grep . | tail -n 1)"
exit 1
