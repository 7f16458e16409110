"""What is not run."""

if PLAN.not_run:

    ruleorder: leave_out > code

    rule leave_out:
        """The rows of the codecs that the configuration leaves out: each is the reason alone."""
        input:
            manifest=RUN / "datasets" / "{dataset}.json",
            status=[RUN / "status" / f"{codec}.json" for codec in PLAN.not_run],
        output:
            [
                RUN / "parts" / "{dataset}" / codec / f"{part}.parquet"
                for codec in PLAN.not_run
                for part in PARTS
            ],
        log:
            RUN / "logs" / "leave_out" / "{dataset}.log",
        params:
            folder=lambda wildcards: RUN / "parts" / wildcards.dataset,
            parts=PARTS,
            codecs=lambda _: [f"{codec}={why}" for codec, why in PLAN.not_run.items()],
        shell:
            "rdbench leave-out {params.codecs:q} --manifest {input.manifest:q} --folder {params.folder:q}"
            " --parts {params.parts:q} --log {log:q}"
