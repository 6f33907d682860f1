#!/bin/bash
# One training on the GPUs of two machines: sbatch docs/scale/slurm-train.sh
# Every process computes its rows of each batch, so the weights are those of one process with the same batch.
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun python -m torch.distributed.run --nnodes "$SLURM_NNODES" --nproc_per_node 4 \
  --rdzv_backend c10d --rdzv_endpoint "$head:29500" --rdzv_id "$SLURM_JOB_ID" \
  -m vision_core restore train --out runs/restoration/slurm
