"""What the papers claim, and what this run finds."""


rule validation:
    """Check that the published settings reproduce the published curves."""
    input:
        RUN / "records.parquet",
        "validation.yaml",
    output:
        RUN / "validation.csv",
    log:
        RUN / "logs" / "validation.log",
    params:
        run=RUN,
    shell:
        "rdbench validate --folder {params.run:q} --out {output:q} --log {log:q}"


rule claims:
    """A verdict on every claim of claims.yaml: claims.json and claims.csv."""
    input:
        RUN / "records.parquet",
        "claims.yaml",
        [RUN / "studies" / dataset / f"{study}.json" for study, dataset in PLAN.studied],
    output:
        RUN / "claims.json",
        RUN / "claims.csv",
    log:
        RUN / "logs" / "claims.log",
    params:
        run=RUN,
    shell:
        "rdbench claims --folder {params.run:q} --spec claims.yaml --write --log {log:q}"
