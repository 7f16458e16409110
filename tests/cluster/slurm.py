"""A SLURM of one's own on this machine: munge, accounting database, controller and two nodes, all on loopback.

Everything (configuration, key, database, spool, logs) lies in one folder, every port is a free one, and leaving the
context ends what it started: a SLURM, MariaDB or munge that already runs here is neither used nor touched.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import psutil

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")  # Debian's and Ubuntu's names
PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
NODES = ("node1", "node2")
READY_S = 60.0

SLURM_CONF = """
ClusterName=rdbench
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool/%n
# No cgroups: they belong to the machine's own init system.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
MinJobAge=600
SchedulerParameters=sched_interval=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
GresTypes=gpu
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={node1} CPUs=1 RealMemory=6000
NodeName=node2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={node2} CPUs=1 RealMemory=6000 Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# A file that stands for the GPU: SLURM counts it and gives it to one job at a time, and looks no further.
GRES_CONF = "NodeName=node2 Name=gpu File=/dev/null\n"

SLURMDBD_CONF = """
DbdHost=localhost
DbdPort={accounting}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""

DATABASE_SQL = """
CREATE DATABASE IF NOT EXISTS slurm;
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
"""


def missing() -> list[str]:
    """The programs that a Slurm needs and that are not here."""
    return [program for program in PROGRAMS if not shutil.which(program, path=_path())]


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Slurm:
    """A running cluster of two nodes with one CPU each, the second with one GPU that is none.

    environment: what SLURM's commands need to find this cluster. Raises RuntimeError, with the end of the log, where a
    daemon does not come up within READY_S.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": _path(),
            "USER": getpass.getuser(),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Slurm:
        self._configure()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _configure(self) -> None:
        for name in ("state", "database", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)  # munged refuses a socket below a folder others may write to
        ports = dict(zip(("controller", "accounting", "database", *NODES), free_ports(5), strict=True))
        values = {"folder": self.folder, "user": getpass.getuser(), **ports}
        self.database_port = ports["database"]
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "gres.conf").write_text(GRES_CONF)
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        secrets = {"slurmdbd.conf": SLURMDBD_CONF.format(**values).encode(), "munge.key": os.urandom(128)}
        for name, content in secrets.items():
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o600)
        (self.folder / "init.sql").write_text(DATABASE_SQL.lstrip())

    def _start(self) -> None:
        folder, database = self.folder, self.folder / "database"
        munge = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("key-file", "socket", "pid-file")]
        self._spawn("munged", "--foreground", "--force", *munge, f"--seed-file={folder}/munge.seed")
        self._wait("munged", lambda: (folder / "munge.socket").exists())
        user = f"--user={getpass.getuser()}"
        self.command(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={database}",
            user,
            "--auth-root-authentication-method=normal",
        )
        self._spawn(
            "mariadbd",
            "--no-defaults",
            f"--datadir={database}",
            user,
            f"--socket={folder}/database.socket",
            f"--port={self.database_port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={folder}/init.sql",
            f"--pid-file={folder}/database.pid",
            "--innodb-buffer-pool-size=64M",
        )
        self._wait("mariadbd", lambda: listens(self.database_port))
        self._spawn("slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self._answers("sacctmgr", "-n", "list", "cluster"))
        self.command("sacctmgr", "-i", "add", "cluster", "rdbench")
        self._spawn("slurmctld", "-D", "-c")
        self._wait("slurmctld", lambda: self._answers("scontrol", "ping"))
        for node in NODES:
            self.start_node(node)

    def start_node(self, node: str) -> None:
        """The node's slurmd, up and idle."""
        self._spawn("slurmd", "-D", "-N", node, name=node)
        self._wait(node, lambda: "idle" in self.command("sinfo", "-h", "-N", "-n", node, "-o", "%t").split())

    def lose_node(self, node: str) -> None:
        """What a power failure does: slurmd and every process of its jobs are gone at once."""
        self.processes[node].kill()
        self.processes.pop(node).wait()
        for process in self.job_processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                step = process.parent()
                if step is not None and step.name().startswith("slurmstepd"):
                    step.kill()
                process.kill()

    def job_processes(self, node: str = "", job: str = "") -> list[psutil.Process]:
        """The processes of a node's or a job's steps; those of all jobs if neither is named."""
        wanted = {"SLURM_CONF": self.environment["SLURM_CONF"], "SLURMD_NODENAME": node, "SLURM_JOB_ID": job}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                is_wanted = all(environment.get(name) == value for name, value in wanted.items() if value)
                if is_wanted and "SLURM_JOB_ID" in environment:
                    found.append(process)
        return found

    def command(self, *words: str) -> str:
        """What one of SLURM's commands prints. Raises RuntimeError if it fails."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _answers(self, *words: str) -> bool:
        try:
            self.command(*words)
        except RuntimeError:
            return False
        return True

    def _spawn(self, program: str, *arguments: str, name: str = "") -> None:
        with open(self.folder / f"{name or program}.out", "ab") as out:
            self.processes[name or program] = subprocess.Popen(
                [program, *arguments], env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            code = self.processes[name].poll()
            if code is not None or time.monotonic() > deadline:
                how = f"ended with code {code}" if code is not None else f"was not ready within {READY_S:g} s"
                raise RuntimeError(f"starting {name}: it {how}; its last lines:\n{self._last_lines(name)}")
            time.sleep(0.2)

    def _last_lines(self, name: str) -> str:
        logs = [self.folder / f"{name}{suffix}" for suffix in (".out", ".log")]
        return "\n".join(line for log in logs if log.is_file() for line in log.read_text().splitlines()[-10:])

    def stop(self) -> None:
        """Ends the daemons, last started first."""
        for job in self.job_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


def free_ports(count: int) -> Sequence[int]:
    """Distinct TCP ports of the loopback that nothing listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
