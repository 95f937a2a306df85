"""The service behind studies: MLflow's server on PostgreSQL, on this machine, started and ended as one.

wanted      what is asked for, checked
postgres    a PostgreSQL of its own, in a folder
server      MLflow's server: its command, its environment, its passwords
state       what runs, in a file
operations  up, down, and what is there

MLflow itself is not imported here: its server is a program. The same program on the same settings is what
cluster/compose.yaml and cluster/systemd start for good.
"""
