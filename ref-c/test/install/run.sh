#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the build in $1 to a prefix in $2, then build an outside project (in $3) against it in both ways, and run it.
# $4: cmake, $5: C compiler, $6: link flags that the library was built with (sanitizers), or nothing.
set -eu
build=$1 room=$2 source=$3 cmake=$4 cc=$5 flags=${6:-}
rm -rf "$room"
mkdir -p "$room"
"$cmake" --install "$build" --prefix "$room/prefix" >"$room/install.log"

"$cmake" -S "$source" -B "$room/package" -DCMAKE_PREFIX_PATH="$room/prefix" -DCMAKE_C_COMPILER="$cc" >"$room/configure.log"
"$cmake" --build "$room/package" >"$room/build.log"
"$room/package/shared"
"$room/package/static"

PKG_CONFIG_PATH=$(dirname "$(find "$room/prefix" -name shmwire.pc)")
export PKG_CONFIG_PATH
test "$(pkg-config --modversion shmwire)" = 0.1.0
libdir=$(pkg-config --variable=libdir shmwire)
case $libdir in "$room/prefix"/*) ;; *) echo "libdir is $libdir, outside the prefix"; exit 1 ;; esac
# shellcheck disable=SC2046,SC2086
"$cc" $flags "$source/outside.c" $(pkg-config --cflags --libs shmwire) -o "$room/outside"
LD_LIBRARY_PATH=$libdir "$room/outside"

# The shared library's name carries the ABI version, and it exports the public functions and nothing else.
test -n "$(readelf -d "$libdir/libshmwire.so" | grep -F 'soname: [libshmwire.so.0]')"
nm -D --defined-only "$libdir/libshmwire.so" | awk '{print $3}' | sort >"$room/exported"
cat "$room/prefix"/include/shmwire.h "$room/prefix"/include/shmwire/*.h | grep -A1 '^SHMW_API' |
    grep -oE '\bshmw_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$room/declared"
diff "$room/declared" "$room/exported"
