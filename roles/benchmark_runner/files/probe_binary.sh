#!/bin/sh
# Start a benchmark_model binary; exit 0, or print on one line why it does not start on this machine and exit 1.
#   probe_binary.sh PROGRAM
program=$1

refuse() {
    printf '%s\n' "$*"
    exit 1
}

machine_name() { # ELF e_machine, as two hexadecimal bytes in file order
    case $1 in
        "3e 00") echo x86_64 ;;
        "03 00") echo i386 ;;
        "b7 00") echo aarch64 ;;
        "28 00") echo "32-bit arm" ;;
        "f3 00") echo riscv ;;
        *) echo "unknown ($1)" ;;
    esac
}

loader_of() { # the system whose loader a program asks for, which its first page names
    case $(dd if="$program" bs=4096 count=1 2>/dev/null | tr -d '\0') in
        */system/bin/linker*) echo Android ;;
        */lib*/ld-*) echo Linux ;;
    esac
}

[ -e "$program" ] || refuse "there is no file $program"
[ -f "$program" ] || refuse "$program is not a file"
[ -s "$program" ] || refuse "$program is empty"
[ -x "$program" ] || refuse "$program is not executable: its mode forbids it, or its file system is mounted noexec"

# What is no program is not started: a shell would take it for a script.
head=$(od -An -tx1 -N20 "$program" 2>/dev/null | tr -s ' \n' ' ')
head=${head# }
host=$(uname -m)
case $head in
    "7f 45 4c 46 "*)
        built_for=$(machine_name "$(printf '%s\n' "$head" | cut -d ' ' -f 19-20)")
        case "$host/$built_for" in
            x86_64/x86_64 | x86_64/i386 | i?86/i386 | aarch64/aarch64 | aarch64/"32-bit arm" | arm*/"32-bit arm") ;;
            x86_64/* | i?86/* | aarch64/* | arm*/*)
                refuse "$program is built for $built_for, and this machine is $host" ;;
        esac ;;
    "23 21 "* | "") ;; # a script, or no od here
    *) refuse "$program is not a program (perhaps an error page that was downloaded in its place)" ;;
esac

output=$("$program" --help 2>&1)
code=$?
case $output in
    *--graph*) exit 0 ;; # its usage text; the exit code for --help differs between versions
esac
last=$(printf '%s\n' "$output" | grep -v '^$' | tail -n 1)
case "$code/$output" in
    *GLIBC_*"not found"*) refuse "it needs a newer glibc than $(getconf GNU_LIBC_VERSION 2>/dev/null): $last" ;;
    *"error while loading shared libraries"*) refuse "a library is missing: $last" ;;
    *"CANNOT LINK EXECUTABLE"*) refuse "a library is missing: $last" ;;
    12[67]/*)
        system=Linux
        ! command -v getprop >/dev/null 2>&1 || system=Android
        asked=$(loader_of)
        [ "${asked:-$system}" = "$system" ] || refuse "$program is built for $asked, and this system is $system"
        refuse "the system cannot execute it (its loader is missing, or a 64-bit program on a 32-bit system): $last" ;;
    132/*) refuse "it uses instructions that this processor does not have (SIGILL)" ;;
    *) refuse "with --help it prints no usage text, but, exit code $code: $last" ;;
esac
