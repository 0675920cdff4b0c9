"""The pytest plugin as an author meets it: options, order, table, and the guard."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PAIR = """
import dataclasses
import pytest
from dockerparallel import CloudProvider, DockerContainer, ServerAddress
from dockerparallel_conformance import ContainerConformance, ProviderConformance

class Provider(CloudProvider):
    def run_server(self, cluster, container, hardware): ...
    def stop_server(self, cluster): ...
    def server_address(self, cluster): return ServerAddress()
    def set_worker_number(self, cluster, container, hardware, worker_number): ...

@dataclasses.dataclass(repr=False)
class Container(DockerContainer):
    def configure_server_env(self, cluster): return self.copy()
    def configure_worker_env(self, cluster, worker_number): return self.copy()
    def register_parallel_backend(self, cluster, **options): ...
    def server_container(self): return Container("image")

class Base(ProviderConformance):
    @pytest.fixture
    def provider(self): return Provider()
    @pytest.fixture
    def worker_container(self): return Container("image")
"""


@pytest.fixture
def author(pytester: pytest.Pytester) -> pytest.Pytester:
    """Give a folder in which an author's module ``pair`` can be imported."""
    pytester.makepyfile(pair=PAIR)
    pytester.syspathinsert()
    return pytester


def test_the_table_tells_what_became_of_each_promise(author: pytest.Pytester) -> None:
    author.makepyfile(
        """
        import pytest
        from pair import Base

        class TestMine(Base):
            @pytest.mark.xfail(reason="copies are shared on purpose", strict=True)
            def test_p02_a_copy_shares_nothing(self, subject):
                pytest.fail("shared")
        """
    )
    result = author.runpytest("-k", "p01 or p02 or p31", "-p", "no:randomly")
    result.assert_outcomes(passed=1, xfailed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "Provider x Container, 2 workers",
            "promise*what*claimed*outcome*reason",
            "P-1*always*passed",
            "P-2*always*xfailed*copies are shared on purpose",
            "P-31*not server-status*skipped*Provider does not claim server-status",
            "1 passed, 0 failed, 1 skipped, 1 xfailed",
        ]
    )


def test_a_broken_promise_is_told_in_a_line(author: pytest.Pytester) -> None:
    author.makepyfile(
        """
        import pytest
        from pair import Base, Provider

        class Shared(Provider):
            def copy(self): return self

        class TestMine(Base):
            @pytest.fixture
            def provider(self): return Shared()
        """
    )
    result = author.runpytest("-k", "p02")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["P-2*failed*copy() of Shared() gave Shared()*another object*"])


def test_an_override_without_a_reason_fails_the_run(author: pytest.Pytester) -> None:
    author.makepyfile(
        """
        from pair import Base

        class TestMine(Base):
            def test_p02_a_copy_shares_nothing(self, subject): ...
        """
    )
    result = author.runpytest()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*OverriddenCheckError: TestMine overrides test_p02*xfail*"])


def test_checks_run_in_the_order_of_a_clusters_life(author: pytest.Pytester) -> None:
    author.makepyfile(
        """
        import pytest
        from pair import Base
        from dockerparallel_conformance import promises_of

        class TestMine(Base):
            pass
        """
    )
    result = author.runpytest("--collect-only", "-q")
    numbers = [
        int(line.partition("::test_p")[2][:2]) for line in result.outlines if "::test_p" in line
    ]
    assert numbers == list(range(1, 47))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "*Which provider is to be checked[?] Give --provider NAME*"),
        (["--provider", "no-such"], "*No provider 'no-such' is installed. Installed:*"),
        (["--container", "no-such"], "*No container 'no-such' is installed. Installed:*"),
        (["--workers", "0"], "*--workers must be at least 1, not 0*"),
        (["--check-timeout", "0"], "*--check-timeout must be above 0, not 0*"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    pytester: pytest.Pytester, arguments: list[str], message: str
) -> None:
    result = pytester.runpytest("--pyargs", "dockerparallel_conformance", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_class_without_fixtures_is_told_what_to_give(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from dockerparallel_conformance import ProviderConformance

        class TestMine(ProviderConformance):
            pass
        """
    )
    result = pytester.runpytest("-k", "p01")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Give the fixture provider in TestMine*--provider*"])


def test_other_tests_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("class TestOther:\n    def test_it(self): pass\n")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*promises of DockerParallel*")
