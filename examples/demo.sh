#!/bin/sh
# SPDX-License-Identifier: MIT
# Send a message from each implementation to each other one, through one segment, and look at it on the way. Started by ./dev demo, after
# a build.
set -eu
name=/shmwire-demo-$$
build=build
go_room=$build/demo
mkdir -p "$go_room"
(cd bindings/go && go build -o "../../$go_room/" ./examples/send ./examples/receive)
(cd bindings/rust && cargo build -q --release --examples)
trap 'rm -f "/dev/shm$name"' EXIT
trap 'exit 130' INT TERM

send() {
    case $1 in
        c) "$build/c/ref-c/test/dmxp_send" "$name" "$2" ;;
        go) "$go_room/send" "$name" "$2" ;;
        rust) "$build/rust/release/examples/send" "$name" "$2" ;;
        *) SHMWIRE_ENGINE=$1 "$build/venv/bin/python" bindings/python/examples/send.py "$name" "$2" ;;
    esac >/dev/null
}

receive() {
    case $1 in
        c) "$build/c/ref-c/test/dmxp_receive" "$name" 5 ;;
        go) "$go_room/receive" "$name" ;;
        rust) "$build/rust/release/examples/receive" "$name" ;;
        *) SHMWIRE_ENGINE=$1 "$build/venv/bin/python" bindings/python/examples/receive.py "$name" ;;
    esac
}

for receiver in c go rust python native; do
    for sender in c go rust python native; do
        send "$sender" "hello from $sender"
    done
    if [ "$receiver" = c ]; then
        printf '%s\n' "--- shmwire ls" && "$build/bin/shmwire" ls
        printf '%s\n' "--- shmwire inspect $name" && "$build/bin/shmwire" inspect "$name"
        printf '%s\n' "--- shmwire dump $name" && "$build/bin/shmwire" dump "$name" --format jsonl
    fi
    printf '%s\n' "--- received by $receiver"
    receive "$receiver"
done
