#!/bin/sh
# SPDX-License-Identifier: MIT
# The two examples talk to each other. $1: where they are.
set -eu
name=/shmw-refc-examples-$$
trap 'rm -f "/dev/shm$name"' EXIT
"$1/dmxp_send" "$name" first "second message"
test "$("$1/dmxp_receive" "$name" 2)" = "first
second message"
"$1/dmxp_receive" "$name" 1 >"$1/examples_test.out" & # asleep, or soon
"$1/dmxp_send" "$name" third
wait $!
test "$(cat "$1/examples_test.out")" = third
if "$1/dmxp_receive" "$name-absent" 1 2>/dev/null; then exit 1; fi
