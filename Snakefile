"""rdbench: from datasets.yaml and codecs_wrappers/ to results/<config>/report/index.html.

    snakemake --cores all                                       the embedded images
    snakemake --cores all --configfile config/kodak.yaml        Kodak
    snakemake --cores all --config datasets='[kodak,clic]'      any sets of datasets.yaml, or folder:PATH

images + wrapper -> encode (process 1) -> bitstreams -> decode (process 2) -> measure -> records -> BD, figures, report
"""

from snakemake.utils import validate

from bench.metrics import extra, versions_json
from bench.workflow import default_config, given_on_command_line, plan

# Only without --configfile: Snakemake would merge its keys into the user's.
if not workflow.overwrite_configfiles:

    configfile: default_config(workflow.config_settings.config)


given_on_command_line(config, workflow.config_settings.config)
validate(config, "config/schema/config.schema.yaml")

# The main process also refreshes the status files that determine which jobs run again; a job on another machine does not.
PLAN = plan(config, workflow.is_main_process, tuple(workflow.config_settings.config))
RUN = PLAN.folder


scattergather:
    part=config["scatter"],


PARTS = gather.part("{scatteritem}")


wildcard_constraints:
    figure="[^/]+",
    dataset="[^/]+",
    codec="[^/]+",


localrules:
    all,
    fetch,  # a cluster's nodes may have no network
    collect,
    compare,
    validation,


include: "rules/common.smk"
include: "rules/leave_out.smk"
include: "rules/times_and_studies.smk"
include: "rules/claims.smk"
include: "rules/devices.smk"
include: "rules/figures.smk"
include: "rules/learned.smk"
include: "rules/publish.smk"


rule all:
    input:
        RUN / "report" / "index.html",


rule fetch:
    """Download and verify one dataset; the manifest of an unavailable one gives the reason."""
    input:
        RUN / "datasets" / "sources" / "{dataset}.json",
    output:
        RUN / "datasets" / "{dataset}.json",
    log:
        RUN / "logs" / "fetch" / "{dataset}.log",
    params:
        name=lambda wildcards: PLAN.names[wildcards.dataset],
    shell:
        "rdbench fetch {params.name:q} --manifest {output:q} --as {wildcards.dataset:q} --log {log:q}"


rule code:
    """Run one codec on (a part of) one dataset: encode to disk, decode in another process, compare hashes, measure."""
    input:
        manifest=RUN / "datasets" / "{dataset}.json",
        status=RUN / "status" / "{codec}.json",
    output:
        RUN / "parts" / "{dataset}" / "{codec}" / "{scatteritem}.parquet",
    log:
        RUN / "logs" / "code" / "{dataset}" / "{codec}.{scatteritem}.log",
    priority: lambda wildcards: int(wildcards.codec in PLAN.with_weights)  # the longest jobs first
    resources:
        mem_mb=lambda wildcards, attempt: attempt * config["mem_mb"],
        gpu=lambda wildcards: PLAN.gpus_of(wildcards.codec),
    params:
        run=RUN,
        device=lambda wildcards: PLAN.device_of(wildcards.codec),
        metrics=versions_json(extra(config["metrics"])),
        extra=extra(config["metrics"]),
        points=config["points"],
        timeout=config["timeout_s"],
        accept=["--accept-failures"] if config["accept_failures"] else [],
    shell:
        "rdbench run {wildcards.codec:q} --manifest {input.manifest:q} --out {output:q} --folder {params.run:q}"
        " --part {wildcards.scatteritem:q} --points {params.points:q}"
        " --metrics {params.extra:q} --timeout {params.timeout:q} --device {params.device:q} {params.accept:q}"
        " --log {log:q}"


rule collect:
    """All rows of all codecs in one table, and the environment they were made in."""
    input:
        [
            gather.part(RUN / "parts" / dataset / codec / "{scatteritem}.parquet")
            for codec, dataset in PLAN.pairs
        ],
    output:
        parquet=RUN / "records.parquet",
        csv=RUN / "records.csv",
        environment=RUN / "environment.json",
    log:
        RUN / "logs" / "collect.log",
    params:
        run=RUN,
    shell:
        "rdbench collect {input:q} --folder {params.run:q} --log {log:q}"


rule compare:
    """BD-rates with bootstrap intervals against every anchor."""
    input:
        RUN / "records.parquet",
    output:
        RUN / "bd.csv",
    log:
        RUN / "logs" / "compare.log",
    params:
        run=RUN,
        anchors=lambda _: config["anchors"],  # a function, so that Snakemake does not take braces for wildcards
        metrics=config["metrics"],
    shell:
        "rdbench compare --folder {params.run:q} --anchors {params.anchors:q} --metrics {params.metrics:q}"
        " --out {output:q} --log {log:q}"


rule figures:
    """Every figure of figures.yaml as SVG, PDF, PNG and CSV."""
    input:
        RUN / "records.parquet",
        RUN / "bd.csv",
        RUN / "matched.parquet",
        "figures.yaml",
        imported_files(),
        [RUN / "timing" / dataset / f"{codec}.parquet" for codec, dataset in PLAN.timed],
        [RUN / "studies" / dataset / f"{study}.json" for study, dataset in PLAN.studied],
        [
            RUN / "variable_rate" / dataset / f"{codec}.parquet"
            for codec, dataset in PLAN.variable
        ],
    output:
        RUN / "figures" / "index.json",
    log:
        RUN / "logs" / "figures.log",
    threads: ALL_CORES
    params:
        run=RUN,
    shell:
        "rdbench figures --folder {params.run:q} --spec figures.yaml --processes {threads:q} --log {log:q}"


rule report:
    """The page: tables, plots, images, every number down to a bitstream's hash."""
    input:
        RUN / "records.parquet",
        RUN / "bd.csv",
        RUN / "validation.csv",
        RUN / "claims.json",
        RUN / "matched.parquet",
        RUN / "figures" / "index.json",
    output:
        RUN / "report" / "index.html",
    log:
        RUN / "logs" / "report.log",
    threads: ALL_CORES
    params:
        run=RUN,
        gallery=config["gallery_bpp"],
        shown=(
            ["--gallery-count", config["gallery_count"]]
            if config["gallery_count"]
            else []
        ),
    shell:
        "rdbench report --folder {params.run:q} --gallery-bpp {params.gallery:q} {params.shown:q} --processes {threads:q} --log {log:q}"


onsuccess:
    print(f"report: {(RUN / 'report' / 'index.html').resolve()}")


onerror:
    print(f"a step failed: {RUN / 'logs'} has its log; the same command resumes")
