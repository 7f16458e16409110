"""Do bitstreams of learned codecs decode alike on every device of this machine? `snakemake --cores all decode_matrix`."""


rule decode_matrix:
    """A table for each dataset of the configuration; a decoder that fails or differs by more than 1 fails the job."""
    input:
        [RUN / "devices" / f"{dataset}.csv" for dataset in PLAN.names],


rule devices:
    """Every codec with weights, encoded on each device and decoded on each other, with the machine to itself."""
    input:
        manifest=RUN / "datasets" / "{dataset}.json",
        status=[RUN / "status" / f"{codec}.json" for codec in PLAN.with_weights],
    output:
        RUN / "devices" / "{dataset}.csv",
    log:
        RUN / "logs" / "devices" / "{dataset}.log",
    threads: ALL_CORES
    params:
        **config["matrix"],
        codecs=PLAN.with_weights,
    shell:
        "rdbench decode-matrix {params.codecs:q} --manifest {input.manifest:q} --out {output:q}"
        " --images {params.images:q} --points {params.points:q} --log {log:q}"
