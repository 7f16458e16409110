"""Figures by their names, and the papers': each made of the codecs and studies that it needs, and of nothing else.

snakemake --cores all resgdn_fig4 --configfile config/kodak.yaml
snakemake --cores all plonq_figures stanh_figures resgdn_figures
"""


rule figure:
    """One figure on every dataset it is of; one it cannot be drawn on is a picture that says why."""
    input:
        "figures.yaml",
        lambda wildcards: [
            RUN / "studies" / dataset / f"{study}.json"
            for study, dataset in PLAN.needs(wildcards.figure).studies
        ],
        lambda wildcards: [
            RUN / "timing" / dataset / f"{codec}.parquet"
            for codec, dataset in PLAN.needs(wildcards.figure).timed
        ],
        records=lambda wildcards: [
            RUN / "parts" / dataset / codec / f"{part}.parquet"
            for codec, dataset in PLAN.needs(wildcards.figure).pairs
            for part in PARTS
        ],
    output:
        RUN / "figures" / "by_name" / "{figure}.json",
    log:
        RUN / "logs" / "figures" / "{figure}.log",
    params:
        run=RUN,
        datasets=list(PLAN.names),
    shell:
        "rdbench figures --only {wildcards.figure:q} --folder {params.run:q} --records {input.records:q}"
        " --datasets {params.datasets:q} --index {output:q} --log {log:q}"


for figure in PLAN.figures:

    rule:
        name:
            figure
        input:
            RUN / "figures" / "by_name" / f"{figure}.json",


for paper in ("plonq", "stanh", "resgdn"):

    rule:
        name:
            f"{paper}_figures"
        input:
            [
                RUN / "figures" / "by_name" / f"{figure}.json"
                for figure in PLAN.figures
                if figure.startswith(f"{paper}_")
            ],
