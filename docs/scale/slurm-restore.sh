#!/bin/bash
# A shelf of pages on four machines of a Slurm cluster: sbatch docs/scale/slurm-restore.sh SHELF OUT
# SHELF and OUT lie on the disk that the machines share, or OUT is a URL. vision-core[cluster] is installed in
# the Python environment that is active when this is submitted.
#SBATCH --job-name=restore
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
ray get-auth-token --generate >/dev/null   # ~/.ray/auth_token; a home folder that is not shared needs a copy
srun ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_NNODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
  vision-core restore run "$1" --out "$2" --report "$PWD/restored.csv" --ray auto
