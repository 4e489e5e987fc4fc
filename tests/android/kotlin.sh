#!/usr/bin/env bash
# The Kotlin of docs/android, compiled and run on this machine's JVM:
#   kotlin.sh score BUNDLE PNG...                       what the app makes of screenshots, for `tilegate device check`
#   kotlin.sh app FOLDER KEY CHANNEL INSTALLATION PNG...  the same by the release that a copy of the bucket has for it
#   kotlin.sh shares FOLDER KEY CHANNEL SEEN            where the installations of standard input stand, and their files
# Needs Java 17, of Debian libjna-java and libandroid-json-java (Android's org.json), and a Kotlin compiler, which this brings:
#   .uv/bin/uv pip install --no-deps --target .kotlin kotlin-jupyter-kernel==0.19.0.944
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
kotlin=$root/.kotlin
jars=$kotlin/run_kotlin_kernel/jars
path=$(echo "$jars"/kotlin-stdlib-*.jar):/usr/share/java/com.android.json.jar:/usr/share/java/jna.jar
[ -d "$jars" ] || { echo "no Kotlin compiler in $kotlin: the top of $0 says how to get it" >&2; exit 1; }
sources=("$root"/docs/android/*.kt "$root"/tests/android/*.kt)
if [ -n "$(find "${sources[@]}" -newer "$kotlin/classes" 2>&1)" ]; then
    java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(echo "$jars"/kotlin-jupyter-kernel-*-all.jar)" \
        org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect -Werror -cp "$path" -d "$kotlin/classes" "${sources[@]}" >&2
    touch "$kotlin/classes"
fi
if [ "$1" != shares ]; then
    set -- "$1" "$("$root/.venv/bin/python" -c 'import ai_edge_litert as a; print(a.__path__[0])')/libLiteRt.so" "${@:2}"
fi
exec java -Dfile.encoding=UTF-8 -cp "$kotlin/classes:$path" tilegate.MainKt "$@"
