#!/bin/sh
# SPDX-License-Identifier: MIT
# The examples of each profile talk to each other. $1: where they are.
set -eu
name=/shmw-refc-examples-$$
base=$(mktemp -d)
trap 'rm -f "/dev/shm$name" "/dev/shm$name-log" "/dev/shm$name-queue" "/dev/shm$name-cursor" "/dev/shm/shmcomm_"*"_${name#/}"*; rm -rf "$base"' EXIT
"$1/dmxp_send" "$name" first "second message"
test "$("$1/dmxp_receive" "$name" 2)" = "first
second message"
"$1/dmxp_receive" "$name" 1 >"$1/examples_test.out" & # asleep, or soon
"$1/dmxp_send" "$name" third
wait $!
test "$(cat "$1/examples_test.out")" = third
if "$1/dmxp_receive" "$name-absent" 1 2>/dev/null; then exit 1; fi
"$1/ouroboros_write" "$name-log" first "second entry"
test "$("$1/ouroboros_read" "$name-log" 2)" = "1 first
2 second entry"
"$1/ouroboros_read" "$name-log" 3 >"$1/examples_test.out" &
"$1/ouroboros_write" "$name-log" third # goes on where the first one ended
wait $!
test "$(tail -n 1 "$1/examples_test.out")" = "3 third"
if "$1/ouroboros_read" "$name-absent" 1 2>/dev/null; then exit 1; fi
test "$("$1/slick_write" "$name-queue" first "a text of more than one element" third)" = "0
1
3"
test "$("$1/slick_read" "$name-queue" 3)" = "0 first
1 a text of more than one element
3 third"
test "$("$1/slick_read" "$name-queue" 1 "$name-cursor")" = "0 first"
test "$("$1/slick_read" "$name-queue" 1 "$name-cursor")" = "1 a text of more than one element"
"$1/slick_read" "$name-queue" 2 "$name-cursor" >"$1/examples_test.out" &
"$1/slick_write" "$name-queue" fourth >/dev/null
wait $!
test "$(tail -n 1 "$1/examples_test.out")" = "4 fourth"
if "$1/slick_read" "$name-absent" 1 2>/dev/null; then exit 1; fi
channel=${name#/}
"$1/shmcomm_subscribe" "$channel" >"$1/examples_test.out" & # waits for the channel
subscriber=$!
{ until grep -q second "$1/examples_test.out"; do sleep 0.01; done; } | "$1/shmcomm_publish" "$channel" first "second message"
wait $subscriber
test "$(cat "$1/examples_test.out")" = "0 first
1 second message"
"$1/shmcomm_push" "$channel" first "second piece" third
test "$("$1/shmcomm_pull" "$channel")" = "first
second piece
third"
"$1/shmcomm_reply" "$channel" 2 &
replier=$!
test "$("$1/shmcomm_request" "$channel" first)" = FIRST
test "$("$1/shmcomm_request" "$channel" "second question")" = "SECOND QUESTION"
wait $replier
if "$1/shmcomm_request" "$channel" third 2>/dev/null; then exit 1; fi
test -z "$(ls /dev/shm | grep "shmcomm_.*_$channel" || true)"
"$1/deepwater_append" "$base" feed first "second record"
test "$("$1/deepwater_follow" "$base" feed 2)" = "0 first
1 second record"
"$1/deepwater_follow" "$base" feed 3 >"$1/examples_test.out" &
"$1/deepwater_append" "$base" feed third # another writer, another chunk
wait $!
test "$(tail -n 1 "$1/examples_test.out")" = "2 third"
if "$1/deepwater_follow" "$base" absent 1 2>/dev/null; then exit 1; fi
