"""Whether learned codecs' bitstreams decode alike on every device of this machine (`snakemake --cores all decode_matrix`)."""


rule decode_matrix:
    """A table per dataset of the configuration; a decoder that fails or differs by more than 1 fails the job."""
    input:
        [RUN / "devices" / f"{dataset}.csv" for dataset in PLAN.names],


rule devices:
    """Encode on each device and decode on every other, with every codec with weights and nothing else running."""
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
