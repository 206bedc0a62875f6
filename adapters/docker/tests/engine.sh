#!/usr/bin/env bash
# A private Docker Engine for tests, for Debian and root. To be sourced:
#
#     . adapters/docker/tests/engine.sh
#     engine_start        # installs what is missing; sets DOCKER_HOST; stops the engine at exit
#
# It is nobody else's: its data, state and socket lie in a temporary directory that goes with it.

engine_install() {
    local packages=()
    command -v dockerd >/dev/null || packages+=(docker.io)
    command -v iptables >/dev/null || packages+=(iptables)
    # Not Debian's `busybox`, which is linked dynamically.
    dpkg -s busybox-static >/dev/null 2>&1 || packages+=(busybox-static)
    ((${#packages[@]})) || return 0
    # Nobody starts the engine that the package brings: it is not ours to keep running.
    local policy=/usr/sbin/policy-rc.d
    [[ -e $policy ]] && policy= || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; }
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
    [[ -z $policy ]] || rm -f "$policy"
}

engine_start() {
    engine_install
    ENGINE_DIRECTORY=$(mktemp -d /tmp/faas-engine.XXXXXX)
    trap engine_stop EXIT
    dockerd --host "unix://$ENGINE_DIRECTORY/s" --data-root "$ENGINE_DIRECTORY/data" \
        --exec-root "$ENGINE_DIRECTORY/exec" --pidfile "$ENGINE_DIRECTORY/pid" \
        >"$ENGINE_DIRECTORY/log" 2>&1 &
    ENGINE_PROCESS=$!
    local try
    for try in {1..300}; do
        # Who asks before it is ready waits until it is.
        if [[ -S $ENGINE_DIRECTORY/s ]]; then
            export DOCKER_HOST=unix://$ENGINE_DIRECTORY/s
            return 0
        fi
        kill -0 "$ENGINE_PROCESS" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$ENGINE_DIRECTORY/log" >&2
    return 1
}

engine_stop() {
    [[ -n ${ENGINE_PROCESS:-} ]] || return 0
    kill "$ENGINE_PROCESS" 2>/dev/null || true
    wait "$ENGINE_PROCESS" 2>/dev/null || true
    ENGINE_PROCESS=
    # The engine leaves mounts behind (its network namespace, file systems of containers).
    awk -v below="$ENGINE_DIRECTORY/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r mount; do umount -l "$mount" || true; done
    # What cannot be removed is not what the run is judged by.
    rm -rf "$ENGINE_DIRECTORY" || true
}
