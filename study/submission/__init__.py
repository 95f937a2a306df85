"""Sending studies to clusters, and asking after them there.

target      where to: a TOML file, checked
order       what is asked of a cluster, and what it is called there
parcel      what travels: the resolved study file and this package's source
sending     the kinds of cluster in one table; a study that runs there already is joined, not sent again
remembered  what was sent from here
ray_jobs    Ray's Jobs API
slurm       sbatch and its script
kuberay     kubectl and a RayJob; ``manifests`` writes it

A cluster runs the submitted source with its own libraries: PyTorch's build has to fit its GPUs and drivers,
so it belongs to the cluster's image or environment (cluster/Dockerfile, constraints.txt).
"""
