#!/bin/sh
# A SLURM cluster of one node, this machine: cluster.sh start FOLDER | stop FOLDER.
# For tests. Needs root and Debian's packages (munge slurmctld slurmd slurm-client), which `start`
# installs with apt-get where they are missing. No systemd, no accounting. Exit status 3, with a
# sentence: it cannot run here.
set -eu
CONFIG=/etc/slurm/slurm.conf
MARK="# written by the companion's tests/slurm/cluster.sh"
PATH="$PATH:/usr/sbin"

cannot() { echo "$1" >&2; exit 3; }

install() {
    for program in munged slurmctld slurmd sbatch; do
        command -v $program >/dev/null || missing=yes
    done
    [ -z "${missing:-}" ] && return
    command -v apt-get >/dev/null || cannot "SLURM is not installed and there is no apt-get."
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends munge slurmctld slurmd slurm-client; } >"$1/apt.log" 2>&1 ||
        cannot "SLURM's packages could not be installed: see $1/apt.log."
}

configure() {
    if [ -e $CONFIG ] && ! head -1 $CONFIG | grep -qxF "$MARK"; then
        cannot "$CONFIG is another cluster's: this test would replace it."
    fi
    mkdir -p /etc/slurm "$1/state" "$1/spool"
    cat >$CONFIG <<END
$MARK
ClusterName=companion
SlurmctldHost=$(hostname -s)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=$(hostname -s) CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start() {
    [ "$(id -u)" = 0 ] || cannot "A SLURM of one's own needs root."
    install "$1"
    configure "$1"
    if ! munge -n >/dev/null 2>&1; then
        mkdir -p /run/munge && chown munge: /run/munge
        runuser -u munge -- munged --pid-file="/run/munge/companion.pid"
    fi
    slurmctld
    slurmd
    for _ in $(seq 100); do
        [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && return
        sleep 0.2
    done
    cannot "The node did not come up: see $1/slurmctld.log and $1/slurmd.log."
}

stop() {
    for name in slurmd slurmctld; do
        [ -e "$1/$name.pid" ] && kill "$(cat "$1/$name.pid")" || true
    done
    [ -e /run/munge/companion.pid ] && kill "$(cat /run/munge/companion.pid)" || true
    if [ -e $CONFIG ] && head -1 $CONFIG | grep -qxF "$MARK"; then rm $CONFIG; fi
}

"$1" "$2"
