#!/bin/bash
# A Slurm of one node, in process, network and mount namespaces of its own, for as long as a command runs:
#
#   unshare --pid --fork --kill-child --mount-proc --net --uts --ipc bash slurm.sh FOLDER COMMAND...
#
# Nothing of it is seen from outside, and a `ray stop` inside ends nothing that is outside.
set -euo pipefail
folder=$1
shift
cd "$folder"
address=10.99.0.1

hostname node1
ip link set lo up
ip address add "$address/32" dev lo
printf '127.0.0.1 localhost\n%s node1\n' "$address" > hosts
mount --bind hosts /etc/hosts

dd if=/dev/urandom of=munge.key bs=1024 count=1 status=none
chmod 600 munge.key
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
  --log-file="$folder/munge.log" --seed-file="$folder/munge.seed"

mkdir -p state spool
cat > slurm.conf << CONF
ClusterName=test
SlurmctldHost=node1($address)
SlurmUser=root
AuthType=auth/munge
# A job that is queued again waits until its old credentials have expired.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobRequeue=1
ReturnToService=2
MailProg=/bin/true
SchedulerParameters=batch_sched_delay=1,sched_interval=2
NodeName=node1 NodeAddr=$address CPUs=2 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
slurmctld
slurmd
for _ in $(seq 100); do
  [ "$(sinfo --noheader --format %t 2> /dev/null)" = idle ] && break
  sleep 0.2
done
sinfo
exec "$@"
