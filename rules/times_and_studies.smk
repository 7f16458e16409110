"""What is measured in addition to the records."""


rule time:
    """Encoding and decoding times of one codec, with nothing else running."""
    input:
        manifest=RUN / "datasets" / "{dataset}.json",
        status=RUN / "status" / "{codec}.json",
    output:
        RUN / "timing" / "{dataset}" / "{codec}.parquet",
    log:
        RUN / "logs" / "time" / "{dataset}" / "{codec}.log",
    threads: ALL_CORES
    resources:
        gpu=lambda wildcards: PLAN.gpus_of(wildcards.codec),
    params:
        **config["timing"],
        device=lambda wildcards: PLAN.device_of(wildcards.codec),
    shell:
        "rdbench time {wildcards.codec:q} --manifest {input.manifest:q} --out {output:q} --images {params.images:q}"
        " --points {params.points:q} --repeats {params.repeats:q} --threads {params.threads:q} --device {params.device:q} --log {log:q}"


rule variable_rate:
    """The variable-rate condition on one codec (docs/variable-rate.md), with nothing else running."""
    input:
        manifest=RUN / "datasets" / "{dataset}.json",
        status=RUN / "status" / "{codec}.json",
    output:
        RUN / "variable_rate" / "{dataset}" / "{codec}.parquet",
    log:
        RUN / "logs" / "variable_rate" / "{dataset}" / "{codec}.log",
    threads: ALL_CORES
    resources:
        gpu=lambda wildcards: PLAN.gpus_of(wildcards.codec),
    params:
        **config["variable_rate"],
        device=lambda wildcards: PLAN.device_of(wildcards.codec),
    shell:
        "rdbench variable-rate {wildcards.codec:q} --manifest {input.manifest:q} --out {output:q} --images {params.images:q}"
        " --targets {params.targets:q} --device {params.device:q} --log {log:q}"


rule study:
    """A look inside a codec: a table that its wrapper family declares for figures of its own."""
    input:
        manifest=RUN / "datasets" / "{dataset}.json",
        status=lambda wildcards: RUN
        / "status"
        / f"{PLAN.studies[wildcards.study].codec}.json",
    output:
        RUN / "studies" / "{dataset}" / "{study}.json",
    log:
        RUN / "logs" / "study" / "{dataset}" / "{study}.log",
    threads: lambda wildcards: ALL_CORES if PLAN.studies[wildcards.study].exclusive else 1
    resources:
        gpu=lambda wildcards: PLAN.gpus_of(PLAN.studies[wildcards.study].codec),
    params:
        images=config["study_images"],
        device=lambda wildcards: PLAN.device_of(PLAN.studies[wildcards.study].codec),
    shell:
        "rdbench study {wildcards.study:q} --manifest {input.manifest:q} --out {output:q}"
        " --images {params.images:q} --device {params.device:q} --log {log:q}"
