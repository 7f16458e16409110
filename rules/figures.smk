"""Single figures by name, and those of a paper, each made only from the codecs and studies that it needs.

snakemake --cores all resgdn_fig4 --configfile config/kodak.yaml
snakemake --cores all plonq_figures stanh_figures resgdn_figures
"""


rule match:
    """Images coded at equal rates, for the pictures of the figures and of the page."""
    input:
        RUN / "records.parquet",
        "figures.yaml",
    output:
        RUN / "matched.parquet",
    log:
        RUN / "logs" / "match.log",
    threads: ALL_CORES
    params:
        run=RUN,
        rates=config["gallery_bpp"],
        shown=(
            ["--gallery-count", config["gallery_count"]]
            if config["gallery_count"]
            else []
        ),
        timeout=config["timeout_s"],
    shell:
        "rdbench match --folder {params.run:q} --spec figures.yaml --gallery-bpp {params.rates:q} {params.shown:q}"
        " --timeout {params.timeout:q} --processes {threads:q} --out {output:q} --log {log:q}"


rule match_figure:
    """The pictures of one figure, coded at equal rates."""
    input:
        "figures.yaml",
        records=needed_records,
    output:
        RUN / "figures" / "by_name" / "{figure}.matched.parquet",
    log:
        RUN / "logs" / "match" / "{figure}.log",
    params:
        run=RUN,
    shell:
        "rdbench match --only {wildcards.figure:q} --folder {params.run:q} --records {input.records:q}"
        " --out {output:q} --log {log:q}"


rule figure:
    """One figure on each of its datasets; where it cannot be drawn, a picture gives the reason."""
    input:
        "figures.yaml",
        imported_files(),
        lambda wildcards: [
            RUN / "studies" / dataset / f"{study}.json"
            for study, dataset in PLAN.needs(wildcards.figure).studies
        ],
        lambda wildcards: [
            RUN / "timing" / dataset / f"{codec}.parquet"
            for codec, dataset in PLAN.needs(wildcards.figure).timed
        ],
        lambda wildcards: [
            RUN / "variable_rate" / dataset / f"{codec}.parquet"
            for codec, dataset in PLAN.needs(wildcards.figure).variable
        ],
        records=needed_records,
        matched=lambda wildcards: (
            [RUN / "figures" / "by_name" / f"{wildcards.figure}.matched.parquet"]
            if PLAN.figures[wildcards.figure]["kind"] == "pictures"
            else []
        ),
    output:
        RUN / "figures" / "by_name" / "{figure}.json",
    log:
        RUN / "logs" / "figures" / "{figure}.log",
    params:
        run=RUN,
        datasets=list(PLAN.names),
        matched=lambda wildcards, input: (
            ["--matched", *input.matched] if input.matched else []
        ),
    shell:
        "rdbench figures --only {wildcards.figure:q} --folder {params.run:q} --records {input.records:q}"
        " --datasets {params.datasets:q} {params.matched:q} --index {output:q} --log {log:q}"


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
