#!/usr/bin/env bash
# A throw-away Docker engine for a bare Debian machine (root, no image registry):  engine.sh up | base TAG | down
#
# Everything it keeps is under $ENGINE_DIR; `down` ends dockerd by its own pid and removes its leftovers. There is no
# bridge and there are no firewall rules: builds use the host's network, and what is tested runs with none.
# $ENGINE_DIR/docker is Debian's command line, which knows BuildKit without a plug-in.
set -euo pipefail
dir=${ENGINE_DIR:?names the folder of the engine}
export DOCKER_HOST=unix://$dir/docker.sock
docker=/usr/bin/docker

say() { printf '%(%T)T engine: %s\n' -1 "$*"; }

install_packages() {
    if [ -x $docker ] && command -v dockerd >/dev/null && command -v mmdebstrap >/dev/null; then return; fi
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "no dockerd here, and only root on Debian can install it"; return 1; }
    say "installing docker.io and mmdebstrap from Debian"
    apt-get -o DPkg::Lock::Timeout=300 update -qq
    # The packages must not start a daemon of their own, where an init system is there to do so.
    printf '#!/bin/sh\nexit 101\n' >"$dir/policy"
    chmod +x "$dir/policy"
    [ -e /usr/sbin/policy-rc.d ] || { ln -s "$dir/policy" /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' RETURN; }
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        docker.io mmdebstrap iproute2 >"$dir/apt.log" 2>&1 || { tail -20 "$dir/apt.log"; return 1; }
}

up() {
    mkdir -p "$dir"
    install_packages
    # In a session of its own, so that the daemon does not end with this shell; its pid is in dockerd.pid.
    setsid -f dockerd --storage-driver=overlay2 --iptables=false --ip6tables=false --bridge=none \
        --data-root "$dir/data" --exec-root "$dir/exec" -p "$dir/dockerd.pid" -H "$DOCKER_HOST" \
        >"$dir/dockerd.log" 2>&1 </dev/null
    for _ in $(seq 60); do
        if $docker version >/dev/null 2>&1; then
            say "up: $($docker version -f '{{.Server.Version}}')"
            return
        fi
        sleep 0.5
    done
    tail -20 "$dir/dockerd.log"
    return 1
}

# Only to test on: Debian and its Python, with this machine's certificates and pip settings. Never push what is built on it.
base() {
    local archive=$dir/base.tar
    if [ ! -s "$archive" ]; then
        say "bootstrapping Debian and its Python"
        local hooks=(--customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs')
        if [ -f /etc/pip.conf ]; then hooks+=(--customize-hook='copy-in /etc/pip.conf /etc'); fi
        mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv "${hooks[@]}" \
            --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$dir/part.tar"
        mv "$dir/part.tar" "$archive"
    fi
    $docker import --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' --change 'CMD ["/bin/bash"]' \
        "$archive" "$1" >/dev/null
    say "base image $1"
}

down() {
    if [ -s "$dir/dockerd.pid" ]; then
        local pid
        pid=$(cat "$dir/dockerd.pid")
        $docker ps -q 2>/dev/null | xargs -r $docker rm -f >/dev/null 2>&1 || true
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 40); do kill -0 "$pid" 2>/dev/null || break; sleep 0.5; done
    fi
    awk -v d="$dir/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l 2>/dev/null || true
    rm -rf "${dir:?}/data" "${dir:?}/exec" "$dir/docker.sock" "$dir/dockerd.pid"
    say "down"
}

"$@"
