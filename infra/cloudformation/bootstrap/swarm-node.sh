#!/usr/bin/env bash
# What every instance of the cluster runs to be, and to stay, a node of the Swarm.
#
#   swarm-node boot   once, from user data: engine, units, the first join; tells CloudFormation when the node is in
#   swarm-node tend   each minute, and after every restart: be in the Swarm; managers also keep the books
#
# The books are one DynamoDB table, key (kind, id):
#   swarm, founder                   instance (who may found the Swarm), formed (the Swarm's id, once it exists)
#   manager, INSTANCE                address
#   token-manager|token-worker, current    token, rotated_at (epoch seconds); encrypted, and each role reads its own
#
# Rules that keep it one Swarm, with its quorum:
#   - Founding takes a conditional write, and `formed` is written after the tokens are in the books. A founder that
#     died before that is replaced; one that only restarted goes on.
#   - A second Swarm is founded only when EC2 says that no manager in the books exists any more.
#   - Only the leader cleans up, and only nodes that are Down and whose instance is gone (or has come back as a
#     second, Ready node). A manager whose state is "error" is left to a person: what it holds may be the last copy.
#
# Settings (the template writes them to /etc/swarm-node): ROLE, TABLE, STACK, LOGICAL_ID, LOG_GROUP, EFS, PRUNE,
# AWS_DEFAULT_REGION. `infra.cloudformation.embed` puts this file into swarm.yaml, without its comments.
set -euo pipefail

ROOT=${ROOT:-}
SETTINGS=$ROOT/etc/swarm-node
IMDS=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
ROTATE_SECONDS=${ROTATE_SECONDS:-86400}
JOIN_SECONDS=${JOIN_SECONDS:-60}
BOOT_SECONDS=${BOOT_SECONDS:-840} # less than the template's PT15M
PAUSE_SECONDS=${PAUSE_SECONDS:-5}
# Overlay networks: outside the VPC (10.0.0.0/16), which the engine's own default pool would cover.
OVERLAYS=${OVERLAYS:-10.128.0.0/9}
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=text

say() { printf 'swarm-node: %s\n' "$*" >&2; }

imds() {
    local token
    token=$(curl -sSf -m 5 --retry 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$IMDS/latest/api/token")
    curl -sSf -m 5 --retry 5 -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1"
}

facts() {
    INSTANCE_ID=${INSTANCE_ID:-$(imds instance-id)}
    ADDRESS=${ADDRESS:-$(imds local-ipv4)}
}

# The books

aws() { command aws --cli-connect-timeout 5 --cli-read-timeout 20 "$@"; }

table() { aws dynamodb "$1" --table-name "$TABLE" "${@:2}"; }

key() { printf '{"kind":{"S":"%s"},"id":{"S":"%s"}}' "$1" "$2"; }

# look KIND ID ATTRIBUTE: empty where there is none
look() {
    local value
    value=$(table get-item --consistent-read --key "$(key "$1" "$2")" --query "Item.$3.S")
    [[ $value == None ]] || printf '%s\n' "$value"
}

# set_down KIND ID ATTRIBUTE VALUE
set_down() {
    table update-item --key "$(key "$1" "$2")" --update-expression 'SET #a = :v' \
        --expression-attribute-names "{\"#a\":\"$3\"}" --expression-attribute-values "{\":v\":{\"S\":\"$4\"}}"
}

managers() {
    table query --consistent-read --key-condition-expression 'kind = :k' \
        --expression-attribute-values '{":k":{"S":"manager"}}' --query "Items[].$1.S" | tr '\t' '\n' | grep -v '^None$' || true
}

# claim PREVIOUS: whether the founding is ours now; PREVIOUS (or nobody) had it before
claim() {
    local told
    told=$(table put-item \
        --item "{\"kind\":{\"S\":\"swarm\"},\"id\":{\"S\":\"founder\"},\"instance\":{\"S\":\"$INSTANCE_ID\"}}" \
        --condition-expression 'attribute_not_exists(id) OR instance = :previous' \
        --expression-attribute-values "{\":previous\":{\"S\":\"${1:-nobody}\"}}" 2>&1) && return 0
    [[ $told == *ConditionalCheckFailed* ]] || say "claim: $told"
    return 1
}

# living INSTANCE...: those of them that exist
living() {
    [[ $# -gt 0 ]] || return 0
    aws ec2 describe-instances --filters "Name=instance-id,Values=$(IFS=, && echo "$*")" \
        Name=instance-state-name,Values=pending,running,stopping,stopped \
        --query 'Reservations[].Instances[].InstanceId' | tr '\t' '\n'
}

# Being in the Swarm

# state: LocalNodeState, and whether it is a manager
state() { docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'; }

enter() {
    local instance formed
    instance=$(look swarm founder instance)
    formed=$(look swarm founder formed)
    if [[ -n $formed ]] && join "$formed"; then
        return 0
    elif [[ $ROLE == manager ]] && may_found "$instance" "$formed" && claim "$instance"; then
        say "founding the Swarm"
        docker swarm init --advertise-addr "$ADDRESS" --default-addr-pool "$OVERLAYS" >/dev/null
        keep_books
    else
        say "not in the Swarm yet"
        return 1
    fi
}

# may_found INSTANCE FORMED: nobody has, or I was about to, or whoever was is gone with all that it made
may_found() {
    local known left
    [[ -n $1 ]] || return 0
    if [[ -z $2 ]]; then
        [[ $1 != "$INSTANCE_ID" ]] || return 0
        known=$1
    else
        known=$(managers id) || return 1
        [[ -n $known ]] || return 1
    fi
    # shellcheck disable=SC2086 # one word each
    left=$(living $known) || return 1
    [[ -z $left ]]
}

# join SWARM: through any manager of the books
join() {
    local token address
    token=$(look "token-$ROLE" current token)
    [[ -n $token ]] || return 1
    for address in $(managers address | grep -vxF "$ADDRESS" | shuf); do
        if timeout "$JOIN_SECONDS" docker swarm join --token "$token" --advertise-addr "$ADDRESS" "$address:2377" >&2; then
            printf '%s\n' "$1" >"$SETTINGS/swarm"
            [[ $ROLE == worker ]] || keep_books
            return 0
        fi
        # A join that timed out goes on in the background; nothing else can be tried beside it.
        docker swarm leave --force >/dev/null 2>&1 || true
    done
    return 1
}

# astray: whether the Swarm this worker joined has been given up for another one
astray() {
    local formed
    [[ $ROLE == worker && -s $SETTINGS/swarm ]] || return 1
    formed=$(look swarm founder formed) || return 1
    [[ -n $formed && $formed != "$(<"$SETTINGS/swarm")" ]]
}

tend() {
    local at control
    read -r at control < <(state) || true
    case "$at $control $ROLE" in
    "active true manager") keep_books ;;
    "active "*" manager") say "demoted: left as it is" ;;
    "active "*)
        if astray; then
            say "the Swarm of this node is gone, there is a new one"
            docker swarm leave --force >/dev/null
            enter
        fi
        ;;
    "error "*" worker")
        docker swarm leave --force >/dev/null
        enter
        ;;
    "inactive "*) enter ;;
    *) say "the engine's Swarm state is '$at'" && return 1 ;;
    esac
}

# Keeping the books (managers)

keep_books() {
    local swarm
    set_down manager "$INSTANCE_ID" address "$ADDRESS"
    if [[ $(docker node inspect self --format '{{.ManagerStatus.Leader}}') == true ]]; then
        publish worker && publish manager && bury || return 1
    fi
    if [[ $(look swarm founder instance) == "$INSTANCE_ID" && -z $(look swarm founder formed) ]]; then
        [[ -n $(look token-manager current token) ]] || return 1
        swarm=$(docker info --format '{{.Swarm.Cluster.ID}}')
        set_down swarm founder formed "$swarm"
        say "the Swarm is formed: $swarm"
    fi
}

# publish ROLE: the token in the books is the Swarm's own, and not older than ROTATE_SECONDS
publish() {
    local token rotated now
    now=$(date +%s)
    rotated=$(look "token-$1" current rotated_at)
    token=$(docker swarm join-token --quiet "$1") || return 1
    if [[ -n $rotated && $((now - rotated)) -ge $ROTATE_SECONDS ]]; then
        say "rotating the token for a $1"
        token=$(docker swarm join-token --quiet --rotate "$1") || return 1
        set_down "token-$1" current token "$token"
        set_down "token-$1" current rotated_at "$now"
    elif [[ $(look "token-$1" current token) != "$token" ]]; then
        set_down "token-$1" current token "$token"
        set_down "token-$1" current rotated_at "$now"
    fi
}

instance_of() { docker node inspect "$1" --format '{{index .Description.Engine.Labels "instance_id"}}'; }

# bury: nodes that are Down for good, and managers of the books that exist no more
bury() {
    local id status manager instance known left ready=' '
    local -A down=()
    while read -r id status manager; do
        instance=$(instance_of "$id")
        [[ -n $instance ]] || continue
        if [[ $status == Down || $manager == Unreachable ]]; then
            down[$id]=$instance
        else
            ready+="$instance "
        fi
    done < <(docker node ls --format '{{.ID}} {{.Status}} {{.ManagerStatus}}')
    known=$(managers id)
    # shellcheck disable=SC2086 # one word each
    left=$(living $known "${down[@]}") || return 1
    left=" ${left//$'\n'/ } "
    for id in "${!down[@]}"; do
        instance=${down[$id]}
        if [[ $left != *" $instance "* || $ready == *" $instance "* ]]; then
            say "removing node $id of $instance"
            docker node demote "$id" >/dev/null 2>&1 || true # a worker's is one already
            docker node rm --force "$id" >/dev/null || say "node $id: at the next round"
        fi
    done
    for instance in $known; do
        [[ $left == *" $instance "* ]] || table delete-item --key "$(key manager "$instance")"
    done
}

# settled: in the Swarm; a manager: with every manager reachable, so that the next one may be replaced
settled() {
    local at control list
    read -r at control < <(state) || return 1
    [[ $at == active ]] || return 1
    [[ $ROLE == worker ]] && return 0
    list=$(docker node ls --format '{{.ManagerStatus}}') || return 1
    [[ $control == true && $list != *Unreachable* ]]
}

# The first boot

daemon_json() {
    local log='"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}'
    if [[ -n ${LOG_GROUP:-} ]]; then
        log="\"log-driver\": \"awslogs\", \"log-opts\": {\"awslogs-region\": \"$AWS_DEFAULT_REGION\","
        log+=" \"awslogs-group\": \"$LOG_GROUP\", \"tag\": \"{{.Name}}\"}"
    fi
    printf '{"labels": ["instance_id=%s", "availability_zone=%s", "instance_type=%s"],\n %s}\n' \
        "$INSTANCE_ID" "$(imds placement/availability-zone)" "$(imds instance-type)" "$log"
}

# unit NAME COMMAND WHEN...: a command and its timer
unit() {
    printf '[Unit]\nAfter=docker.service\n[Service]\nType=oneshot\nExecStart=%s\n' "$2" >"$ROOT/etc/systemd/system/$1.service"
    printf '[Timer]\n%s\n[Install]\nWantedBy=timers.target\n' "$3" >"$ROOT/etc/systemd/system/$1.timer"
}

prepare() {
    for _ in 1 2 3 4 5; do
        dnf install -y docker ${EFS:+amazon-efs-utils} && break
        sleep "$PAUSE_SECONDS"
    done
    mkdir -p "$ROOT/etc/docker"
    daemon_json >"$ROOT/etc/docker/daemon.json"
    unit swarm-node '/usr/local/sbin/swarm-node tend' $'OnBootSec=10\nOnUnitInactiveSec=60\nAccuracySec=5'
    unit swarm-prune '/usr/bin/docker system prune --force' $'OnCalendar=daily\nRandomizedDelaySec=3h'
    if [[ -n ${EFS:-} ]]; then
        mkdir -p "$ROOT/mnt/efs"
        printf '%s:/ /mnt/efs efs _netdev,tls,nofail 0 0\n' "$EFS" >>"$ROOT/etc/fstab"
        mount /mnt/efs || say "EFS is not there yet; it is mounted at the next restart"
    fi
    usermod -aG docker ec2-user
    systemctl daemon-reload
    systemctl enable --now docker swarm-node.timer
    [[ ${PRUNE:-no} == no ]] || systemctl enable --now swarm-prune.timer
}

# An instance that Auto Scaling takes to even out zones would go without its tasks having moved.
keep_zones_uneven() {
    local group
    group=$(aws autoscaling describe-auto-scaling-instances --instance-ids "$INSTANCE_ID" \
        --query 'AutoScalingInstances[0].AutoScalingGroupName') &&
        aws autoscaling suspend-processes --auto-scaling-group-name "$group" --scaling-processes AZRebalance
}

boot() {
    prepare
    keep_zones_uneven || say "AZRebalance could not be suspended"
    until "$0" tend && settled; do
        ((SECONDS < BOOT_SECONDS)) || { say "not in the Swarm after $BOOT_SECONDS s; the timer goes on" && return 1; }
        sleep $((PAUSE_SECONDS + RANDOM % PAUSE_SECONDS))
    done
    # Refused outside a create or update: nobody waits for it then.
    aws cloudformation signal-resource --stack-name "$STACK" --logical-resource-id "$LOGICAL_ID" \
        --unique-id "$INSTANCE_ID" --status SUCCESS || true
}

main() {
    set -a
    # shellcheck source=/dev/null
    [[ ! -f $SETTINGS/settings ]] || . "$SETTINGS/settings"
    set +a
    facts
    case ${1:-} in
    boot) boot ;;
    tend)
        exec 9>"$SETTINGS/lock"
        flock 9
        tend 9>&-
        ;;
    *) say "usage: swarm-node boot|tend" && return 2 ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
