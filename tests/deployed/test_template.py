"""The template before anything is built: what checkers say of it, and what it refuses."""

import re
import subprocess

import pytest
from world import sam

LINT = sam.TOOLS / "lint/bin"


def test_sam_and_cfn_lint_find_nothing():
    sam.run("sam", "validate", "--lint", "--config-env", "dev")
    sam.run(LINT / "cfn-lint", "infra/template.yaml")


def test_checkov_finds_nothing_but_what_is_excepted_with_a_reason():
    told = sam.run(LINT / "checkov", "-f", "infra/template.yaml", "--config-file", "infra/checkov.yaml", "--compact", "--quiet")
    assert "Failed checks: 0" in told, told


def test_the_table_and_the_buckets_are_what_their_rooms_say():
    template = (sam.HOME / "infra/template.yaml").read_text()
    key = (sam.HOME / "crates/exports-s3/src/key.rs").read_text()
    prefix = re.search(r'SUPERSEDED_PREFIX: &\'static str = "([^"]+)"', key)[1]
    days = re.search(r"SUPERSEDED_DAYS: u16 = (\d+)", key)[1]
    assert f"Prefix: {prefix}\n" in template and f"ExpirationInDays: {days}\n" in template
    schema = (sam.HOME / "crates/store-dynamodb/src/schema.rs").read_text()
    for name in ("pk", "sk", "mpk", "msk", "marks", "ttl", "dirty_since"):
        assert f'"{name}"' in schema and re.search(rf"\b{name}\b", template), name


def test_every_detail_type_on_the_bus_has_its_queue():
    template = (sam.HOME / "infra/template.yaml").read_text()
    wire = (sam.HOME / "crates/events-eventbridge/src/wire.rs").read_text()
    told = set(re.findall(r'^const \w+: &str = "([a-z]+\.[a-z]+)";', wire, re.M))
    routed = set(re.findall(r"[a-z]+\.[a-z]+", " ".join(re.findall(r"detail-type: \[([^\]]+)\]", template))))
    # For whoever listens.
    assert told - routed == {"property.changed", "conflict.opened"}, told ^ routed


def test_no_gateway_writes_down_what_a_caller_may_have_pasted():
    told = set(re.findall(r"\$context\.([A-Za-z.]+)", (sam.HOME / "infra/template.yaml").read_text()))
    assert told == {"requestId", "httpMethod", "status", "responseLatency", "integrationErrorMessage"}


def test_every_alarm_has_a_runbook():
    template = (sam.HOME / "infra/template.yaml").read_text()
    runbooks = (sam.HOME / "infra/README.md").read_text()
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", template, re.M)
    assert len(alarms) > 15
    assert [alarm for alarm in alarms if f"`{alarm}`" not in runbooks] == []


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"Shards": "48"}, "Shards"),
        ({"SweepEvery": "soon"}, "must be minutes or hours"),
        ({"AlarmEmail": "nobody"}, "must be an e-mail address"),
        ({"Stage": "prod", "AllowPrivateFeeds": "true"}, "it is for Stage=dev only"),
        ({"OidcIssuer": "https://id.example.com"}, "OidcIssuer needs OidcAudience"),
        ({"LinksDomain": "links.example.com"}, "LinksDomain needs LinksCertificate"),
    ],
)
def test_a_wrong_parameter_fails_at_validation_with_a_sentence(world, parameters, sentence):
    with pytest.raises(AssertionError) as refused:
        sam.deploy(world.endpoint, "calmesh-refused", name="refused", **parameters)
    assert sentence in str(refused.value), str(refused.value)[-1500:]


def test_a_build_without_its_tools_says_which(tmp_path):
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SAM_CLI_TELEMETRY": "0"}
    command = [sam.TOOLS / "sam/bin/sam", "build", "--build-dir", tmp_path / "build"]
    done = subprocess.run(command, cwd=sam.HOME, env=bare, capture_output=True, text=True)
    assert done.returncode != 0
    assert "cargo" in (done.stdout + done.stderr).lower(), done.stderr


def test_the_gateways_log_holds_nothing_that_a_caller_typed():
    template = (sam.HOME / "infra/template.yaml").read_text()
    formats = re.findall(r"^        Format: '(.*)'$", template, re.M)
    assert formats, "the stage keeps a log"
    told = set(re.findall(r"\$context\.([A-Za-z.]+)", " ".join(formats)))
    typed = {"path", "identity.userAgent", "domainName", "error.message", "error.messageString", "authorizer.error", "customDomain.basePathMatched"}
    assert "status" in told and not told & typed, told
