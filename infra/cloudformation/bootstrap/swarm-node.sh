#!/usr/bin/env bash
# What every instance of the cluster runs to be, and to stay, a node of the Swarm.
#
#   swarm-node boot     once, from user data: engine, units, the first join; tells CloudFormation how it ended
#   swarm-node attempt  one try of that: `boot` repeats it until it succeeds, or BOOT_SECONDS are over
#   swarm-node guard    before the engine starts: containers do not reach the instance metadata service
#   swarm-node tend     each minute: be in the Swarm; managers also keep the books
#   swarm-node groups   each minute, on managers: protection of both Auto Scaling groups from scale-in
#   swarm-node logins   each minute, on the leader: services keep pulling from ECR
#
# Each is a process of its own, which ends at the first command that fails (`set -e`) and says which one it was. Only
# `boot` goes on after a failure: nothing in it may end it early.
#
# The books are one DynamoDB table, key (kind, id):
#   swarm, founder                   instance (who may found the Swarm), formed (the Swarm's id, once it exists)
#   manager, INSTANCE                address
#   token-manager|token-worker, current    token, rotated_at (epoch seconds); encrypted, and each role reads its own
#   registry, login                  renewed_at (epoch seconds)
#
# Rules that keep it one Swarm, with its quorum:
#   - Founding takes a conditional write, and `formed` is written after the tokens are in the books. A founder that
#     died before that is replaced; one that only restarted goes on.
#   - Once a Swarm was formed, no other is founded by itself: it would be empty, and nobody would know. Who has lost
#     all managers restores a backup, or deletes the entry (swarm, founder): docs/operations.md.
#   - Only the leader cleans up, and only nodes that are Down and whose instance is gone (or has come back as a
#     second, Ready node). A manager whose state is "error" is left to a person: what it holds may be the last copy.
#   - Whoever is in the Swarm is never given up by its own doing, whatever else failed.
#
# Settings (the template writes them to /etc/swarm-node): ROLE, TABLE, STACK (its id), LOGICAL_ID, LOG_GROUP, EFS,
# PRUNE, OVERLAYS, AWS_DEFAULT_REGION. `infra.cloudformation.embed` packs this file into swarm.yaml.
set -euo pipefail
shopt -s inherit_errexit # else a failure inside $(...) of two commands is none

ROOT=${ROOT:-}
SETTINGS=$ROOT/etc/swarm-node
IMDS=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
IMDS_ADDRESS=169.254.169.254/32
ROTATE_SECONDS=${ROTATE_SECONDS:-86400}
RENEW_SECONDS=${RENEW_SECONDS:-21600} # half of the 12 hours that a login to ECR lasts
JOIN_SECONDS=${JOIN_SECONDS:-60}
BOOT_SECONDS=${BOOT_SECONDS:-840} # less than the template's PT15M, also with what follows it
HANG_SECONDS=${HANG_SECONDS:-20} # no answer for so long is none
PAUSE_SECONDS=${PAUSE_SECONDS:-5}
# Overlay networks: outside the VPC (10.0.0.0/16), which the engine's own default pool would cover.
OVERLAYS=${OVERLAYS:-10.128.0.0/9}
# The one bridge on each node whose containers reach the instance metadata service: services on the network `metadata`.
METADATA_BRIDGE=${METADATA_BRIDGE:-metadata0}
METADATA_SUBNET=${METADATA_SUBNET:-100.127.254.0/24}
ECR='[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?'
NEEDS_A_PERSON=86 # no command that runs here ends with it
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=text

say() { printf 'swarm-node: %s\n' "$*" >&2; }

# because TEXT: why this did not go well, for people and for `boot`, which names REASON. The first reason counts.
because() {
    say "$@"
    [[ -z ${REASON:-} || -s $REASON ]] || printf '%s\n' "$*" >"$REASON" || true
}

# failed CODE COMMAND: what the ERR trap calls
failed() {
    [[ $2 == return* ]] || because "exit code $1 of: $2" # who returns has said why
}

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
    value=$(table get-item --consistent-read --key "$(key "$1" "$2")" --query "Item.$3.S") || return
    [[ $value == None ]] || printf '%s\n' "$value"
}

# set_down KIND ID ATTRIBUTE VALUE
set_down() {
    table update-item --key "$(key "$1" "$2")" --update-expression 'SET #a = :v' \
        --expression-attribute-names "{\"#a\":\"$3\"}" --expression-attribute-values "{\":v\":{\"S\":\"$4\"}}"
}

# managers ATTRIBUTE: a line each
managers() {
    local values
    values=$(table query --consistent-read --key-condition-expression 'kind = :k' \
        --expression-attribute-values '{":k":{"S":"manager"}}' --query "Items[].$1.S") || return
    tr '\t' '\n' <<<"$values" | sed -e '/^None$/d' -e '/^$/d'
}

# claim PREVIOUS: whether the founding is ours now; PREVIOUS (or nobody) had it before
claim() {
    local told
    told=$(table put-item \
        --item "{\"kind\":{\"S\":\"swarm\"},\"id\":{\"S\":\"founder\"},\"instance\":{\"S\":\"$INSTANCE_ID\"}}" \
        --condition-expression '(attribute_not_exists(id) OR instance = :previous) AND attribute_not_exists(formed)' \
        --expression-attribute-values "{\":previous\":{\"S\":\"${1:-nobody}\"}}" 2>&1) && return 0
    [[ $told == *ConditionalCheckFailed* ]] || say "claim: $told"
    return 1
}

# living INSTANCE...: those of them that exist
living() {
    [[ $# -gt 0 ]] || return 0
    local found
    found=$(aws ec2 describe-instances --filters "Name=instance-id,Values=$(IFS=, && echo "$*")" \
        Name=instance-state-name,Values=pending,running,stopping,stopped \
        --query 'Reservations[].Instances[].InstanceId') || return
    tr '\t' '\n' <<<"$found"
}

# Being in the Swarm

# state: LocalNodeState, and whether it is a manager
state() { timeout "$HANG_SECONDS" docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}'; }

enter() {
    local instance formed
    instance=$(look swarm founder instance)
    formed=$(look swarm founder formed)
    if [[ -n $formed ]] && join "$formed"; then
        return 0
    elif [[ $ROLE == manager && -n $formed ]] && lost; then
        because "All managers of the Swarm are gone. No other is founded, since it would be empty: restore a backup," \
            "or delete the entry (swarm, founder) of the table $TABLE: docs/operations.md, 'All managers are lost'."
        return "$NEEDS_A_PERSON"
    elif [[ $ROLE == manager && -z $formed ]] && may_found "$instance" && claim "$instance"; then
        say "founding the Swarm"
        docker swarm init --advertise-addr "$ADDRESS" --default-addr-pool "$OVERLAYS" >/dev/null
        keep_books
    else
        because "not in the Swarm yet: no manager of the table $TABLE lets this node in"
        return 1
    fi
}

# lost: whether no manager of the books exists any more
lost() {
    local known left
    known=$(managers id) || return 1
    # shellcheck disable=SC2086 # one word each
    [[ -n $known ]] && left=$(living $known) && [[ -z $left ]]
}

# may_found INSTANCE: nobody has, or I was about to, or whoever was is gone; and no manager of the books is left
may_found() {
    local known left
    known=$(managers id) || return 1
    [[ $1 == "$INSTANCE_ID" ]] || known+=" $1"
    # shellcheck disable=SC2086 # one word each
    left=$(living $known) || return 1
    [[ -z $left || $left == "$INSTANCE_ID" ]]
}

# join SWARM: through any manager of the books
join() {
    local token address addresses known
    token=$(look "token-$ROLE" current token) && addresses=$(managers address) || return 1
    [[ -n $token ]] || return 1
    for address in $(shuf <<<"$addresses"); do
        [[ $address != "$ADDRESS" ]] || continue
        if timeout "$JOIN_SECONDS" docker swarm join --token "$token" --advertise-addr "$ADDRESS" "$address:2377" >&2; then
            printf '%s\n' "$1" >"$SETTINGS/swarm" || say "$SETTINGS/swarm could not be written"
            # A manager that is not in the books keeps them itself from the next round on.
            [[ $ROLE == worker ]] || set_down manager "$INSTANCE_ID" address "$ADDRESS" || say "the books do not answer"
            return 0
        fi
        # A join that timed out goes on in the background; nothing else can be tried beside it. An engine that is in a
        # Swarm by now (restored by a person, for one) is not taken out of it.
        known=$(state) || return 1
        [[ $known != active* ]] || return 1
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
    local at control known
    guard || say "containers may reach the instance metadata service: iptables failed"
    mounted || true # it has said so; the next round tries again
    known=$(state) || true
    read -r at control <<<"$known" || true
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
    *) because "the engine's Swarm state is '$at'" && return 1 ;;
    esac
    metadata_network
}

# metadata_network: the network of services that may ask the instance metadata service
metadata_network() {
    docker network inspect metadata-config >/dev/null 2>&1 ||
        docker network create --config-only --subnet "$METADATA_SUBNET" \
            --opt com.docker.network.bridge.name="$METADATA_BRIDGE" metadata-config >/dev/null
    if leads && ! docker network inspect metadata >/dev/null 2>&1; then
        docker network create --driver bridge --scope swarm --config-from metadata-config metadata >/dev/null
    fi
}

# guard: what comes from a container, by any bridge but that one, does not reach the metadata service. What the node
# itself asks is not forwarded, and not touched.
guard() {
    local rule=(PREROUTING ! -i "$METADATA_BRIDGE" -d "$IMDS_ADDRESS" -j DROP)
    iptables -w -t raw -C "${rule[@]}" 2>/dev/null || iptables -w -t raw -I "${rule[@]}"
}

# mounted: the file system is there, if there is to be one. Nobody can write into the folder while it is not.
mounted() {
    local place=$ROOT/mnt/efs
    [[ -n ${EFS:-} ]] || return 0
    ! mountpoint -q "$place" || return 0
    if ! { mkdir -p "$place" && chattr +i "$place" && mount "$place" && mountpoint -q "$place"; }; then
        because "EFS $EFS is not mounted"
        return 1
    fi
}

leads() { [[ $ROLE == manager && $(docker node inspect self --format '{{.ManagerStatus.Leader}}' 2>/dev/null) == true ]]; }

# Keeping the books (managers)

keep_books() {
    local swarm
    set_down manager "$INSTANCE_ID" address "$ADDRESS"
    if leads; then
        publish worker
        publish manager
        bury
    fi
    if [[ $(look swarm founder instance) == "$INSTANCE_ID" && -z $(look swarm founder formed) ]]; then
        [[ -n $(look token-manager current token) ]]
        swarm=$(docker info --format '{{.Swarm.Cluster.ID}}')
        [[ -n $swarm ]]
        set_down swarm founder formed "$swarm"
        say "the Swarm is formed: $swarm"
    fi
}

# publish ROLE: the token in the books is the Swarm's own, and not older than ROTATE_SECONDS
publish() {
    local token rotated now known
    now=$(date +%s)
    rotated=$(look "token-$1" current rotated_at)
    known=$(look "token-$1" current token)
    token=$(docker swarm join-token --quiet "$1")
    if [[ -n $rotated && $((now - rotated)) -ge $ROTATE_SECONDS ]]; then
        say "rotating the token for a $1"
        token=$(docker swarm join-token --quiet --rotate "$1")
    elif [[ $known == "$token" ]]; then
        return 0
    fi
    set_down "token-$1" current token "$token"
    set_down "token-$1" current rotated_at "$now"
}

instance_of() { docker node inspect "$1" --format '{{index .Description.Engine.Labels "instance_id"}}'; }

# bury: nodes that are Down for good, and managers of the books that exist no more
bury() {
    local id status manager instance known left list ready=' '
    local -A down=()
    list=$(docker node ls --format '{{.ID}} {{.Status}} {{.ManagerStatus}}')
    while read -r id status manager; do
        instance=$(instance_of "$id")
        [[ -n $instance ]] || continue
        if [[ $status == Down || $manager == Unreachable ]]; then
            down[$id]=$instance
        else
            ready+="$instance "
        fi
    done <<<"$list"
    known=$(managers id)
    # shellcheck disable=SC2086 # one word each
    left=$(living $known "${down[@]}")
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
    local at control list known
    known=$(state)
    read -r at control <<<"$known"
    [[ $at == active ]] || { because "the engine's Swarm state is '$at'" && return 1; }
    if [[ $ROLE == manager ]]; then
        list=$(docker node ls --format '{{.ManagerStatus}}')
        [[ $control == true && $list != *Unreachable* ]] || { because "a manager is not reachable" && return 1; }
    fi
}

# The groups (managers). Protection from scale-in makes only named instances go, but hinders CloudFormation: it cannot
# be there before the stack's creation has ended, nor while the stack goes, nor on what an update replaces.

groups() {
    local status names group
    [[ $ROLE == manager ]] || return 0
    status=$(aws cloudformation describe-stacks --stack-name "$STACK" --query 'Stacks[0].StackStatus')
    case $status in
    DELETE_* | ROLLBACK_*) ;; # each manager, since there may be no leader any more
    *) leads || return 0 ;;
    esac
    names=$(aws cloudformation describe-stack-resources --stack-name "$STACK" \
        --query "StackResources[?ResourceType=='AWS::AutoScaling::AutoScalingGroup'].PhysicalResourceId")
    for group in $names; do
        case $status in
        DELETE_* | ROLLBACK_*)
            protect no "$group" "$(members "$group" True)"
            born_protected no "$group"
            ;;
        UPDATE_IN_PROGRESS | UPDATE_ROLLBACK_IN_PROGRESS) protect no "$group" "$(outdated "$group")" ;;
        CREATE_COMPLETE | UPDATE_COMPLETE* | UPDATE_ROLLBACK_COMPLETE* | IMPORT_*COMPLETE)
            # The group first: by its default the scaler tells this protection from a person's.
            born_protected yes "$group"
            protect yes "$group" "$(members "$group" False)"
            ;;
        esac
        keep_zones_uneven "$group"
    done
}

# group NAME QUERY
group() { aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$1" --query "AutoScalingGroups[0].$2"; }

# members NAME PROTECTED: instances in service that are protected (True) or not (False), a line each. Before they are in
# service they cannot be protected.
members() {
    local found
    found=$(group "$1" "Instances[?LifecycleState=='InService'].[InstanceId,ProtectedFromScaleIn]")
    awk -v wanted="$2" '$2 == wanted { print $1 }' <<<"$found"
}

# outdated NAME: protected instances of another version of the launch template than the group's
outdated() {
    local version found
    version=$(group "$1" LaunchTemplate.Version)
    found=$(group "$1" "Instances[?ProtectedFromScaleIn].[InstanceId,LaunchTemplate.Version]")
    awk -v now="$version" 'NF == 2 && $2 != now { print $1 }' <<<"$found"
}

# protect yes|no NAME INSTANCES: one call takes 50 at most
protect() {
    local flag=--protected-from-scale-in some
    [[ $1 == yes ]] || flag=--no-protected-from-scale-in
    while read -r -a some && [[ ${#some[@]} -gt 0 ]]; do
        aws autoscaling set-instance-protection --auto-scaling-group-name "$2" "$flag" --instance-ids "${some[@]}"
    done < <(xargs -r -n 50 <<<"$3")
}

# born_protected yes|no NAME
born_protected() {
    local flag=--new-instances-protected-from-scale-in wanted=True now
    [[ $1 == yes ]] || { flag=--no-new-instances-protected-from-scale-in && wanted=False; }
    now=$(group "$2" NewInstancesProtectedFromScaleIn)
    [[ $now == "$wanted" ]] || aws autoscaling update-auto-scaling-group --auto-scaling-group-name "$2" "$flag"
}

# An instance that Auto Scaling takes to even out zones would go without its tasks having moved.
keep_zones_uneven() {
    local suspended
    suspended=$(group "$1" 'SuspendedProcesses[].ProcessName')
    [[ $suspended == *AZRebalance* ]] ||
        aws autoscaling suspend-processes --auto-scaling-group-name "$1" --scaling-processes AZRebalance
}

# Logins to ECR (the leader). Nodes pull with the login that was deployed with the service, and it lasts 12 hours.

logins() {
    local images hosts='' renewed now age=0
    leads || return 0
    images=$(docker service ls --format '{{.ID}} {{.Image}}')
    hosts=$(grep -oE " $ECR/" <<<"$images" | tr -d ' /' | sort -u) || true
    if [[ -n $hosts ]]; then
        now=$(date +%s)
        renewed=$(look registry login renewed_at)
        age=$((now - ${renewed:-$((now - 2 * RENEW_SECONDS))}))
        if ((age >= RENEW_SECONDS)) && bash "$0" renew "$images" "$hosts"; then
            set_down registry login renewed_at "$now"
            age=0
        fi
    fi
    # The template's alarm goes by this number.
    aws cloudwatch put-metric-data --namespace DockerSwarm --metric-data \
        "[{\"MetricName\":\"RegistryLoginAge\",\"Unit\":\"Seconds\",\"Value\":$age,\"Dimensions\":[{\"Name\":\"Stack\",\"Value\":\"$(name_of_stack)\"}]}]"
}

name_of_stack() { cut -d / -f 2 <<<"$STACK"; }

# renew IMAGES HOSTS: tasks that run are not touched. A service whose update is under way or paused is left to the next
# time: an update of it would begin that one anew, and make it its own predecessor.
renew() {
    local host region password id image doing
    export DOCKER_CONFIG=$SETTINGS/docker
    for host in $2; do
        region=$(cut -d . -f 4 <<<"$host")
        password=$(aws ecr get-login-password --region "$region")
        docker login --username AWS --password-stdin "$host" <<<"$password" >/dev/null
    done
    while read -r id image; do
        [[ $image =~ ^$ECR/ ]] || continue
        doing=$(docker service inspect "$id" --format '{{with .UpdateStatus}}{{.State}}{{end}}')
        case $doing in
        updating | paused | rollback_started | rollback_paused) say "login of $image: at the next round, it is $doing" ;;
        *) docker service update --quiet --detach --with-registry-auth "$id" >/dev/null ;;
        esac
    done <<<"$1"
}

# The first boot

daemon_json() {
    local zone type log='"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}'
    zone=$(imds placement/availability-zone)
    type=$(imds instance-type)
    if [[ -n ${LOG_GROUP:-} ]]; then
        # Blocking, the default, would stop containers while CloudWatch is away.
        log="\"log-driver\": \"awslogs\", \"log-opts\": {\"awslogs-region\": \"$AWS_DEFAULT_REGION\","
        log+=" \"awslogs-group\": \"$LOG_GROUP\", \"tag\": \"{{.Name}}\","
        log+=" \"mode\": \"non-blocking\", \"max-buffer-size\": \"4m\"}"
    fi
    printf '{"labels": ["instance_id=%s", "availability_zone=%s", "instance_type=%s"],\n %s}\n' \
        "$INSTANCE_ID" "$zone" "$type" "$log"
}

# unit NAME ORDER COMMANDS: a service
unit() {
    printf '[Unit]\n%s\n[Service]\nType=oneshot\nTimeoutStartSec=600\n%s\n' "$2" "$3" >"$ROOT/etc/systemd/system/$1.service"
}

# timer NAME WHEN: what starts the service NAME
timer() {
    printf '[Timer]\n%s\n[Install]\nWantedBy=timers.target\n' "$2" >"$ROOT/etc/systemd/system/$1.timer"
}

units() {
    local own=/usr/local/sbin/swarm-node
    unit swarm-node After=docker.service "ExecStart=-$own groups"$'\n'"ExecStart=-$own logins"$'\n'"ExecStart=$own tend"
    timer swarm-node $'OnBootSec=10\nOnUnitInactiveSec=60\nAccuracySec=5'
    unit swarm-guard Before=docker.service "ExecStart=$own guard"$'\n[Install]\nWantedBy=docker.service'
    # Not `system prune`: it takes overlay networks that no service uses at the moment (moby #27525).
    unit swarm-prune After=docker.service \
        $'ExecStart=/usr/bin/docker container prune --force --filter until=1h\nExecStart=/usr/bin/docker image prune --all --force --filter until=24h'
    timer swarm-prune $'OnCalendar=daily\nRandomizedDelaySec=3h'
}

# prepare: each step may be repeated
prepare() {
    # shellcheck disable=SC2086 # one word, or none
    rpm -q docker ${EFS:+amazon-efs-utils} >/dev/null || dnf install -y docker ${EFS:+amazon-efs-utils}
    mkdir -p "$ROOT/etc/docker"
    daemon_json >"$ROOT/etc/docker/daemon.json"
    units
    if [[ -n ${EFS:-} ]] && ! grep -qF ' /mnt/efs efs ' "$ROOT/etc/fstab"; then
        printf '%s:/ /mnt/efs efs _netdev,tls,nofail 0 0\n' "$EFS" >>"$ROOT/etc/fstab"
    fi
    systemctl daemon-reload
    if [[ -n ${EFS:-} ]]; then
        mounted # before the engine starts, and so before any task
    fi
    usermod -aG docker ec2-user
    systemctl reset-failed docker 2>/dev/null || true
    systemctl enable --now swarm-guard docker swarm-node.timer
    if [[ ${PRUNE:-no} == yes ]]; then
        systemctl enable --now swarm-prune.timer
    fi
}

attempt() {
    facts
    prepare
    bash "$0" tend
    settled
}

# signal SUCCESS|FAILURE: refused where no create or update waits for it
signal() {
    [[ -n ${INSTANCE_ID:-} ]] && for _ in 1 2 3 4 5; do
        ! aws cloudformation signal-resource --stack-name "$STACK" --logical-resource-id "$LOGICAL_ID" \
            --unique-id "$INSTANCE_ID" --status "$1" || return 0
        sleep "$PAUSE_SECONDS" || true
    done
    say "CloudFormation was not told: $1"
}

boot() {
    local code
    set +e # see the top
    trap - ERR
    export REASON=$SETTINGS/reason
    while true; do
        rm -f "$REASON"
        # What hangs in it must not keep CloudFormation and Auto Scaling waiting: this ends before they do.
        timeout -k 5 $((BOOT_SECONDS + HANG_SECONDS - SECONDS)) bash "$0" attempt
        code=$?
        [[ $code != 124 ]] || because "an attempt hung, and was ended"
        [[ $code != 0 ]] || break
        ((SECONDS < BOOT_SECONDS)) || break
        sleep $((PAUSE_SECONDS + RANDOM % (PAUSE_SECONDS + 1)))
    done
    facts
    if [[ $code == 0 ]]; then
        signal SUCCESS
    else
        give_up "$code"
    fi
    return "$code"
}

# give_up CODE: the reason is on the console (`aws ec2 get-console-output`), since a signal carries none. The group
# replaces what is not in the Swarm; what is in it goes on, with its timer.
give_up() {
    local known reason="exit code $1"
    [[ ! -s $REASON ]] || reason=$(<"$REASON")
    say "GAVE UP after $SECONDS s: $reason"
    signal FAILURE
    known=$(state 2>/dev/null)
    if [[ $known == active* || $1 == "$NEEDS_A_PERSON" ]]; then
        say "the timer goes on"
    elif [[ -z ${INSTANCE_ID:-} ]] || ! aws autoscaling set-instance-health --instance-id "$INSTANCE_ID" \
        --health-status Unhealthy --no-should-respect-grace-period; then
        say "Auto Scaling was not told that this instance is unhealthy: a stopped one it sees by itself"
        systemctl poweroff
    fi
}

main() {
    trap 'failed "$?" "$BASH_COMMAND"' ERR
    set -E
    set -a
    # shellcheck source=/dev/null
    [[ ! -f $SETTINGS/settings ]] || . "$SETTINGS/settings"
    set +a
    case ${1:-} in
    boot) boot ;;
    attempt) attempt ;;
    guard) guard ;;
    groups) groups ;;
    logins) logins ;;
    renew) renew "$2" "$3" ;;
    tend)
        facts
        exec 9>"$SETTINGS/lock"
        flock -w 120 9
        tend 9>&-
        ;;
    *) say "usage: swarm-node boot|attempt|guard|tend|groups|logins" && return 2 ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
