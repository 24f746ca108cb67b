# Runs at every start of a notebook instance, as root, behind a head that says what it needs to know (notebook.py).
# It fetches the source, sets the kernel of the notebooks up in the background, for a start may take five minutes,
# and stops the instance once nobody works on it. Amazon Linux 2023; what lies in $WORK outlives a stop.
set -Eeuo pipefail
export PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin

PERSON=ec2-user
PLACE=/home/$PERSON
WORK=$PLACE/SageMaker
CODE=$WORK/atelier
KERNEL=$WORK/.atelier-kernel
JUPYTER=https://localhost:8443
EVERY=60

say() { echo "notebook: $*"; }

as_person() { runuser -u "$PERSON" -- env HOME="$PLACE" "$@"; }

again() { # again TIMES COMMAND...: the network of a new instance may need a moment
    local times=$1; shift
    until "$@"; do
        times=$((times - 1))
        [ "$times" -gt 0 ] || return 1
        sleep 5
    done
}

fetch() { # the role of the instance opens the repository; what a person changed is never touched
    local helper='!aws codecommit credential-helper $@'
    if [ ! -d "$CODE/.git" ]; then
        again 3 as_person git clone --quiet -c "credential.helper=$helper" -c credential.UseHttpPath=true \
            "$CLONE_URL" "$CODE"
    elif [ -z "$(as_person git -C "$CODE" status --porcelain)" ]; then
        as_person git -C "$CODE" pull --quiet --ff-only
    else
        say "$CODE has changes of its own: it stays as it is"
    fi
}

set_up_kernel() { # once for each lock, as the volume keeps it
    local lock=$CODE/requirements/notebooks.lock named
    named=$(sha256sum <"$lock")
    if [ "$named" != "$(cat "$KERNEL/lock" 2>/dev/null)" ]; then
        command -v python3.11 >/dev/null || again 5 dnf install -y -q python3.11
        as_person rm -rf "$KERNEL"
        as_person python3.11 -m venv "$KERNEL"
        again 3 as_person "$KERNEL/bin/python" -m pip install --quiet --no-deps --require-hashes -r "$lock"
        as_person "$KERNEL/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable "$CODE"
        echo "$named" | as_person tee "$KERNEL/lock" >/dev/null
    fi
    as_person "$KERNEL/bin/python" -m ipykernel install --user --name atelier --display-name Atelier \
        --env AWS_DEFAULT_REGION "$AWS_DEFAULT_REGION" --env ATELIER_PREFIX "$PREFIX" >/dev/null
    say "the kernel Atelier is there"
}

is_busy() { # a kernel works, or somebody used a kernel or a terminal since the last look
    python3 - "$JUPYTER" "$EVERY" <<'PYTHON'
import datetime, json, ssl, sys, urllib.request
place, every = sys.argv[1], float(sys.argv[2])
# the certificate is this machine's own, for this machine
unchecked = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), unchecked)
now = datetime.datetime.now(datetime.timezone.utc)
def is_used(each):
    last = datetime.datetime.fromisoformat(each["last_activity"].replace("Z", "+00:00"))
    return each.get("execution_state") == "busy" or (now - last).total_seconds() < every
try:
    found = [
        each for kind in ("kernels", "terminals") for each in json.load(opener.open(f"{place}/api/{kind}", timeout=5))
    ]
except OSError:
    sys.exit(1)
sys.exit(not any(is_used(each) for each in found))
PYTHON
}

watch() { # stop when nobody has worked for long
    local idle=0
    while sleep "$EVERY"; do
        if is_busy; then idle=0; else idle=$((idle + EVERY)); fi
        if [ "$idle" -ge $((IDLE_MINUTES * 60)) ]; then
            say "nobody has worked here for $IDLE_MINUTES minutes"
            aws sagemaker stop-notebook-instance --notebook-instance-name "$INSTANCE" && return
        fi
    done
}

main() {
    if [ "$IDLE_MINUTES" -gt 0 ]; then (watch) >/var/log/atelier-idle.log 2>&1 </dev/null & fi
    fetch || say "the source cannot be fetched"
    if [ -d "$CODE" ]; then
        (set_up_kernel || say "the kernel cannot be set up") >/var/log/atelier-kernel.log 2>&1 </dev/null &
    fi
    disown -a
}

trap 'say "line $LINENO failed"' ERR
main
