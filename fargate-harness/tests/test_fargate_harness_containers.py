"""Each task is a real container, with what its definition and overrides say."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import Account, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SLEEP = ["python3", "-c", "import time; time.sleep(600)"]
SAY = "import os,sys; print(' '.join(os.environ.get(n, '-') for n in sys.argv[1:]))"


def start(real: Account, *command: str, **container: Any) -> str:
    """Start a task with a command, with logs, and return its ARN."""
    made = real.container(
        command=list(command),
        logConfiguration=real.awslogs(),
        linuxParameters={"initProcessEnabled": True},
        **container,
    )
    definition = real.register(containerDefinitions=[made], executionRoleArn=real.role)
    return real.start(definition)


def messages(real: Account, arn: str) -> list[str]:
    """Return what is in the log stream of a task."""
    stream = f"p/main/{arn.rpartition('/')[2]}"
    found = real.logs.get_log_events(
        logGroupName="/tasks", logStreamName=stream, startFromHead=True
    )
    return [event["message"] for event in found["events"]]


def test_a_program_that_ends_stops_its_task(real: Account) -> None:
    arn = start(real, "python3", "-c", "print('to stdout'); raise SystemExit(7)")
    task = real.reaches(arn, "STOPPED")
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == 7
    assert task["containers"][0]["lastStatus"] == "STOPPED"
    assert messages(real, arn) == ["to stdout"]


def test_logs_come_while_the_task_runs(real: Account) -> None:
    arn = start(real, "python3", "-uc", "print('early'); import time; time.sleep(600)")
    real.reaches(arn, "RUNNING")
    assert wait_for(lambda: messages(real, arn)) == ["early"]
    assert messages(real, arn) == ["early"]
    found = real.logs.filter_log_events(logGroupName="/tasks", filterPattern="early")
    assert [event["message"] for event in found["events"]] == ["early"]
    assert real.harness.logs_of(arn) == "early\n"


def test_environment_secrets_and_overrides_reach_the_program(real: Account) -> None:
    real.ssm.put_parameter(Name="/app/one", Value="from ssm", Type="SecureString")
    made = real.secrets.create_secret(
        Name="app", SecretString=json.dumps({"two": "from a key", "more": "-"})
    )["ARN"]
    plain = real.secrets.create_secret(Name="plain", SecretString="all of it")["ARN"]
    container = real.container(
        command=["overridden"],
        environment=[{"name": "A", "value": "a"}, {"name": "B", "value": "b"}],
        secrets=[
            {"name": "ONE", "valueFrom": "/app/one"},
            {"name": "TWO", "valueFrom": f"{made}:two::"},
            {"name": "ALL", "valueFrom": plain},
        ],
        logConfiguration=real.awslogs(),
    )
    definition = real.register(containerDefinitions=[container], executionRoleArn=real.role)
    names = ["A", "B", "C", "ONE", "TWO", "ALL", "AWS_REGION"]
    override = {
        "name": "main",
        "command": ["python3", "-c", SAY, *names],
        "environment": [{"name": "B", "value": "B"}, {"name": "C", "value": "c"}],
    }
    arn = real.start(definition, overrides={"containerOverrides": [override]})
    real.reaches(arn, "STOPPED")
    assert messages(real, arn) == ["a B c from ssm from a key all of it us-east-1"]


def test_the_container_has_the_size_of_the_task(real: Account, engine: docker.DockerClient) -> None:
    definition = real.register(containerDefinitions=[real.container(command=SLEEP)])
    arn = real.start(definition, overrides={"cpu": "512", "memory": "1024"})
    real.reaches(arn, "RUNNING")
    made = engine.containers.get(real.harness.container_of(arn)).attrs["HostConfig"]
    assert (made["NanoCpus"], made["Memory"]) == (500_000_000, 1024**3)
    assert made["MemorySwap"] == made["Memory"]


def test_a_program_that_takes_too_much_memory_is_killed(real: Account) -> None:
    arn = start(real, "python3", "-c", "x = bytearray(600 * 1024 * 1024); print(len(x))")
    container = real.reaches(arn, "STOPPED")["containers"][0]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_a_stop_lets_the_program_end_by_itself(real: Account) -> None:
    # The signal may come before the print of 'ready' has returned, and a print within a print is
    # an error: hence os.write.
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'bye\\n'), sys.exit(3)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)"
    )
    arn = start(real, "python3", "-c", program)
    real.reaches(arn, "RUNNING")
    wait_for(lambda: messages(real, arn) == ["ready"])
    real.ecs.stop_task(cluster="c", task=arn, reason="enough")
    task = real.reaches(arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 3
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert messages(real, arn) == ["ready", "bye"]


def test_a_program_that_will_not_end_is_killed_in_time(real: Account) -> None:
    # Without an init process, the program is process 1, which SIGTERM does not end.
    container = real.container(command=SLEEP, stopTimeout=2)
    arn = real.start(real.register(containerDefinitions=[container]))
    real.reaches(arn, "RUNNING")
    real.ecs.stop_task(cluster="c", task=arn)
    task = real.reaches(arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 137


def test_a_task_that_starts_can_be_stopped(real: Account) -> None:
    definition = real.register(containerDefinitions=[real.container(command=SLEEP)])
    arns = [real.start(definition) for _ in range(4)]
    for arn in arns:
        real.ecs.stop_task(cluster="c", task=arn)
    for arn in arns:
        assert real.reaches(arn, "STOPPED")["stopCode"] == "UserInitiated"
    assert "containers" not in real.harness.left()


def test_an_unknown_image_stops_the_task(real: Account) -> None:
    container = real.container(image="dockerparallel-none:1")
    task = real.reaches(real.start(real.register(containerDefinitions=[container])), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"] == (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to "
        "resolve ref docker.io/dockerparallel-none:1: not found"
    )


def test_an_unknown_program_stops_the_task(real: Account) -> None:
    container = real.container(command=["/none"])
    task = real.reaches(real.start(real.register(containerDefinitions=[container])), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError: ")
    assert "containers" not in real.harness.left()


def test_a_killed_task_looks_like_a_crash(real: Account) -> None:
    arn = start(real, *SLEEP)
    real.reaches(arn, "RUNNING")
    real.harness.kill(arn)
    task = real.reaches(arn, "STOPPED")
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["containers"][0]["exitCode"] == 137
    assert "reason" not in task["containers"][0]


def test_a_container_that_somebody_removes_ends_its_task(
    real: Account, engine: docker.DockerClient
) -> None:
    arn = start(real, *SLEEP)
    real.reaches(arn, "RUNNING")
    engine.containers.get(real.harness.container_of(arn)).remove(force=True)
    assert real.reaches(arn, "STOPPED")["stopCode"] == "EssentialContainerExited"


def test_a_task_of_spot_is_asked_to_end(real: Account) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)"
    )
    container = real.container(command=["python3", "-c", program], logConfiguration=real.awslogs())
    definition = real.register(containerDefinitions=[container], executionRoleArn=real.role)
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    arn = real.start(definition, launchType=None, capacityProviderStrategy=spot)
    real.reaches(arn, "RUNNING")
    wait_for(lambda: messages(real, arn))
    real.harness.interrupt_spot(arn)
    task = real.reaches(arn, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("SpotInterruption", 0)


def test_a_task_vanishes_with_its_container(real: Account) -> None:
    arn = start(real, *SLEEP)
    real.reaches(arn, "RUNNING")
    real.harness.vanish(arn)
    assert real.ecs.describe_tasks(cluster="c", tasks=[arn])["failures"]
    assert "containers" not in real.harness.left()


def test_a_sidecar_shares_the_network_and_need_not_live(real: Account) -> None:
    serve = real.container(command=["python3", "-m", "http.server", "8000"])
    fetch = (
        "import time, urllib.request\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        print(urllib.request.urlopen('http://127.0.0.1:8000/').status); break\n"
        "    except OSError:\n"
        "        time.sleep(0.05)"
    )
    side = {
        **real.container(command=["python3", "-c", fetch], logConfiguration=real.awslogs()),
        "name": "side",
        "essential": False,
    }
    arn = real.start(real.register(containerDefinitions=[serve, side], executionRoleArn=real.role))
    real.reaches(arn, "RUNNING")

    def ended() -> bool:
        return bool(real.describe(arn)["containers"][1].get("exitCode") == 0)

    wait_for(ended)
    assert real.describe(arn)["lastStatus"] == "RUNNING"
    stream = f"p/side/{arn.rpartition('/')[2]}"
    events = real.logs.get_log_events(logGroupName="/tasks", logStreamName=stream)["events"]
    assert [event["message"] for event in events] == ["200"]


def test_a_log_stream_of_no_task_does_not_exist(real: Account) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        real.logs.get_log_events(logGroupName="/tasks", logStreamName="p/main/none")
