"""What is written into a run's folder holds no secret: not where it is set, nor where it is repeated."""

import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.deploy.redaction import LEFT_OUT, MOST_VALUES, Redaction, TooManyValues
from tests.kits.steps.env_names import HARMLESS, SECRET

VALUE = "s3cr3t-V4lue/+=01"


def pod(**container: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "llm-0"},
        "spec": {"containers": [{"name": "main", **container}]},
    }


def left_of(obj: dict[str, Any]) -> Any:
    """The only container of a redacted pod."""
    return Redaction().object(obj)["spec"]["containers"][0]


class TestEnvironment:
    def test_the_corpus_has_names_enough(self) -> None:
        assert len({*SECRET, *HARMLESS}) >= 200

    @pytest.mark.parametrize("name", SECRET)
    def test_a_secret_is_left_out_and_masked_wherever_it_is_repeated(self, name: str) -> None:
        redaction = Redaction()
        shown = redaction.object(pod(env=[{"name": name, "value": VALUE}]))
        assert shown["spec"]["containers"][0]["env"] == [{"name": name, "value": LEFT_OUT}]
        assert redaction.text(f"using {VALUE} now") == f"using {LEFT_OUT} now"
        assert VALUE not in json.dumps(redaction.object({"events": [{"message": f"bad key {VALUE}"}]}))

    @pytest.mark.parametrize("name", HARMLESS)
    def test_a_harmless_value_is_shown(self, name: str) -> None:
        redaction = Redaction()
        entry = {"name": name, "value": VALUE}
        assert redaction.object(pod(env=[entry]))["spec"]["containers"][0]["env"] == [entry]
        assert redaction.text(VALUE) == VALUE

    @pytest.mark.parametrize(
        "env",
        [
            [{"name": "DB_PWD", "value": VALUE}],
            {"DB_PWD": VALUE},
            {"name": "here a variable of this name", "DB_PWD": VALUE},
        ],
        ids=["entries", "a map", "a map with a variable called name"],
    )
    @pytest.mark.parametrize("where", ["env", "envs"])
    def test_every_shape_of_an_environment(self, where: str, env: Any) -> None:
        graph = {
            "spec": {"services": {"Worker": {where: env, "extraPodSpec": {"initContainers": [{where: env}]}}}}
        }
        assert VALUE not in json.dumps(Redaction().object(graph))

    def test_numbers_are_values_too(self) -> None:
        assert left_of(pod(env=[{"name": "PIN", "value": 739154}]))["env"][0]["value"] == LEFT_OUT

    def test_where_a_value_comes_from_is_shown(self) -> None:
        entry = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
        assert left_of(pod(env=[entry]))["env"] == [entry]

    def test_a_url_of_a_harmless_name_loses_its_userinfo(self) -> None:
        redaction = Redaction()
        entry = {"name": "MODEL_PATH", "value": f"s3://reader:{VALUE[:6]}@bucket/llm"}
        (shown,) = redaction.object(pod(env=[entry]))["spec"]["containers"][0]["env"]
        assert shown["value"] == "s3://bucket/llm"
        assert redaction.text(f"login with {VALUE[:6]} failed") == f"login with {LEFT_OUT} failed"


class TestElsewhere:
    def test_headers_of_probes(self) -> None:
        get = {
            "path": f"/healthz?key={VALUE}",
            "httpHeaders": [
                {"name": "Authorization", "value": f"Bearer {VALUE}"},
                {"name": "X-Internal", "value": VALUE},
                {"name": "host", "value": "llm.example"},
            ],
        }
        shown = left_of(pod(readinessProbe={"httpGet": get}))["readinessProbe"]["httpGet"]
        assert VALUE not in json.dumps(shown)
        assert [one["value"] for one in shown["httpHeaders"]] == [LEFT_OUT, LEFT_OUT, "llm.example"]
        assert shown["path"] == f"/healthz?{LEFT_OUT}"

    def test_a_headers_token_is_masked_without_its_scheme(self) -> None:
        redaction = Redaction()
        headers = [{"name": "Authorization", "value": f"Bearer {VALUE}"}]
        redaction.object(pod(livenessProbe={"httpGet": {"httpHeaders": headers}}))
        assert redaction.text(f"refused {VALUE}") == f"refused {LEFT_OUT}"

    def test_annotations(self) -> None:
        annotations = {
            "vault.hashicorp.com/agent-inject-template-x": VALUE,
            "objectset.rio.cattle.io/applied": f'{{"env": "{VALUE}"}}',
            "dgxc.nvidia.com/devices": '{"devices":{}}',
            "prometheus.io/port": "8000",
        }
        shown = Redaction().object({"metadata": {"annotations": annotations}})["metadata"]["annotations"]
        assert list(shown) == list(annotations)
        assert list(shown.values()) == [LEFT_OUT, LEFT_OUT, '{"devices":{}}', "8000"]

    @pytest.mark.parametrize(
        "words",
        [
            ["--hf-token", VALUE],
            [f"--api-key={VALUE}"],
            ["--auth", VALUE],
            ["sh", "-c", f"export GITHUB_PAT={VALUE}; exec vllm serve m"],
            ["sh", "-c", f"vllm serve m --api-key '{VALUE}' --port 8000"],
            ["curl", "-H", f"Authorization: Basic {VALUE}", "http://localhost"],
            ["curl", "-H", f"authorization: {VALUE}"],
            ["run", f'{{"DB_PWD": "{VALUE}"}}'],
            ["--store", f"redis://:{VALUE[:5]}@cache:6379/0"],
            ["sh", "-c", f"printf '[db]\\npassword = {VALUE}\\n' > /etc/app.ini; serve"],
            ["sh", "-c", f'cat > /etc/app.toml <<EOF\napi_key = "{VALUE}"\nEOF\nserve'],
            [f"hf_token\t= {VALUE}"],
            ["aws", "configure", "set", "aws_secret_access_key", VALUE],
            ["sh", "-c", f"aws configure set aws_secret_access_key {VALUE} && serve"],
            ["npm", "config", "set", "//registry.example/:_authToken", VALUE],
        ],
        ids=[
            *("flag", "flag=", "short", "export", "inline flag", "basic", "bare", "JSON", "URL"),
            *("INI", "TOML", "tab", "set", "inline set", "npm"),
        ],
    )
    def test_command_lines(self, words: list[str]) -> None:
        redaction = Redaction()
        shown = json.dumps(redaction.object(pod(args=words)))
        assert VALUE[:5] not in shown
        assert VALUE[:5] not in redaction.text(f"started with {words[-1]}".replace("Basic ", ""))

    @pytest.mark.parametrize(
        "words",
        [
            ["sh", "-c", f"export db_password={VALUE}; exec serve"],
            ["sh", "-c", f"db_password='{VALUE}' serve"],
            ["env", f"hf_token={VALUE}", "serve"],
            ["env", f"Hf_Token={VALUE}", "serve"],
            ["--config", f'{{"store": {{"password": "{VALUE}", "port": 1}}}}'],
            ["--config", f'{{"api_key": "{VALUE}"}}'],
            [f'--config={{"store":{{"password":"{VALUE}"}}}}'],
            ["--config", json.dumps({"inner": json.dumps({"password": VALUE})})],
            ["--config", f'{{"tokens": ["{VALUE}", "b"]}}'],
            ["--config", f"{{'password': '{VALUE}'}}"],
            ["helm", "--set", f"auth.password={VALUE}"],
            ["helm", "--set", f"image.tag=1,auth.password={VALUE}"],
            ["helm", f"--set=auth.password={VALUE}"],
            ["--inline", f"user: a\npassword: {VALUE}\nport: 1"],
            ["--inline", f"{{user: a, password: {VALUE}, port: 1}}"],
            ["--inline", f"password: >-\n  {VALUE}\nport: 1"],
            ["--dsn-of", f"host=db password={VALUE} port=1"],
            ["get", f"https://h/x?token={VALUE}"],
            ["get", f"https://h/x?a=1&X-Amz-Signature={VALUE}&b=2"],
            ["get", f"https://h/x?sig={VALUE}"],
            ["get", f"/x?token={VALUE}"],
            ["curl", "-u", f"admin:{VALUE}", "http://h"],
            ["curl", f"-uadmin:{VALUE}", "http://h"],
            ["curl", f"--user=admin:{VALUE}", "http://h"],
            ["sh", "-c", f"curl -su admin:{VALUE} http://h"],
            ["sh", "-c", f"curl -u 'admin:{VALUE}' http://h"],
            ["curl", "-H", f"X-Api-Key: {VALUE}"],
            ["curl", "--header", f"X-Whatever: {VALUE}"],
            ["sh", "-c", f"curl -H 'X-Api-Key: {VALUE}' http://h"],
            ["sh", "-c", f'curl --header "X-Whatever: {VALUE}" http://h'],
            ["sh", "-c", f"curl -H'X-Whatever: {VALUE}' http://h"],
            ["redis-cli", "-h", "cache", "-a", VALUE, "ping"],
            ["sh", "-c", f"/usr/bin/redis-cli -h cache -a {VALUE} ping"],
            ["mysql", "-u", "root", f"-p{VALUE}"],
            ["sh", "-c", f"sshpass -p {VALUE} ssh h"],
        ],
    )
    def test_secrets_in_any_spelling_of_a_command_line(self, words: list[str]) -> None:
        redaction = Redaction()
        shown = json.dumps(redaction.object(pod(args=words)))
        assert VALUE not in shown
        assert VALUE not in redaction.text(f"started with {VALUE}")

    @pytest.mark.parametrize("name", ["MODEL_PATH", "MODEL", "HF_HOME"])
    @pytest.mark.parametrize(
        "query", [f"token={VALUE}", f"a=1&X-Amz-Signature={VALUE}", f"sig={VALUE}", VALUE]
    )
    def test_a_url_of_a_harmless_name_loses_its_query(self, name: str, query: str) -> None:
        redaction = Redaction()
        env = [{"name": name, "value": f"https://bucket/llm?{query}"}]
        assert left_of(pod(env=env))["env"][0]["value"] == f"https://bucket/llm?{LEFT_OUT}"
        redaction.object(pod(env=env))
        assert VALUE not in redaction.text(f"fetching with {VALUE}")

    def test_a_signed_url_in_a_log(self) -> None:
        shown = Redaction().text(f"GET https://h/x?model=llm&X-Amz-Signature={VALUE}&n=1 200")
        assert VALUE not in shown
        assert "model=llm" in shown

    @pytest.mark.parametrize(
        "name",
        [
            "offbus.dev/x",
            "cluster-autoscaler.kubernetes.io/y",
            "kubernetes.io/description",
            "kubernetes.io/change-cause",
            "deployment.kubernetes.io/z",
            "autoscaling.alpha.kubernetes.io/z",
        ],
    )
    def test_no_family_of_annotations_is_harmless(self, name: str) -> None:
        shown = Redaction().object({"metadata": {"annotations": {name: VALUE}}})
        assert VALUE not in json.dumps(shown)

    def test_what_one_looks_for_after_a_failure_is_shown(self) -> None:
        words = [
            "vllm",
            "serve",
            "Qwen/Qwen3-8B",
            "--max-num-batched-tokens",
            "8192",
            "--token-limit",
            "--tokenizer",
        ]
        words += ["Qwen/tok", "--port=8000", "--enable-auth", "false", "CUDA_VISIBLE_DEVICES=0"]
        words += [
            "--speculative-config",
            '{"method": "ngram", "num_speculative_tokens": 4}',
            "-u",
            "1000:1000",
        ]
        words += [
            "--override",
            "batch.tokens=512,dtype=fp8",
            "--url",
            "https://h/v1/models",
            "--flags",
            "a: 1",
        ]
        words += [
            "sh",
            "-c",
            "if [ $a = 1 ]; then curl -H 'Accept: text/plain' localhost; fi; x=1",
            "-a",
            "yes",
        ]
        assert left_of(pod(command=words))["command"] == words

    def test_fields_of_other_kinds(self) -> None:
        spec = {"hfToken": VALUE, "database": {"password": VALUE, "secretName": "db", "passwordKey": VALUE}}
        kept = {
            "tolerations": [{"key": "nvidia.com/gpu"}],
            "securityContext": {"sysctls": [{"name": "a", "value": "1"}]},
        }
        shown = Redaction().object({"spec": {**spec, **kept}})["spec"]
        assert VALUE not in json.dumps(shown)
        assert shown["database"]["secretName"] == "db"
        assert {key: shown[key] for key in kept} == kept

    def test_the_last_words_of_a_container_stand_before_the_value_that_they_repeat(self) -> None:
        said = {"state": {"terminated": {"message": f"no such key: {VALUE}"}}}
        obj = {"status": {"containerStatuses": [said]}, **pod(env=[{"name": "MY_KEY", "value": VALUE}])}
        assert VALUE not in json.dumps(Redaction().object(obj))

    def test_bookkeeping_is_left_out(self) -> None:
        last = {"kubectl.kubernetes.io/last-applied-configuration": VALUE}
        meta = {"managedFields": [1], "name": "n", "annotations": last}
        assert Redaction().object({"metadata": meta}) == {"metadata": {"name": "n", "annotations": {}}}


class TestLogs:
    def learnt(self, *values: str, name: str = "API_KEY") -> Redaction:
        redaction = Redaction()
        redaction.object(pod(env=[{"name": name, "value": value} for value in values]))
        return redaction

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ('a"b\\c d', json.dumps({"key": 'a"b\\c d'})),
            ("gr\u00fc\u00dfe-1", json.dumps("gr\u00fc\u00dfe-1")),
            ("p/w+d=1", "GET /?key=p%2Fw%2Bd%3D1"),
            ("-----BEGIN KEY-----\nMIIEabcdef0123\n-----END KEY-----", "loaded MIIEabcdef0123"),
        ],
        ids=["JSON", "JSON in ASCII", "URL", "a line of a key"],
    )
    def test_in_other_spellings(self, value: str, said: str) -> None:
        shown = self.learnt(value).text(said)
        assert LEFT_OUT in shown
        assert value not in shown
        assert "MIIE" not in shown

    @pytest.mark.parametrize(
        "spelt",
        [
            repr,
            lambda one: repr(one.encode("latin-1")),
            lambda one: json.dumps(json.dumps(one)),
            lambda one: json.dumps(one).replace("/", "\\/"),
            lambda one: "".join(f"\\u{ord(char):04X}" for char in one),
            quote_plus,
            lambda one: quote(quote(one, safe=""), safe=""),
            html.escape,
            lambda one: base64.b64encode(f"u:{one}".encode()).decode(),
        ],
        ids=["repr", "bytes", "JSON twice", "slashes", "numbers", "form", "URL twice", "HTML", "base64"],
    )
    def test_in_any_spelling_that_a_run_s_own_secrets_are_looked_for(
        self, spelt: Callable[[str], str]
    ) -> None:
        value = 'p/w\'d "gr\u00fc\u00dfe" <1&2>\\end'
        said = spelt(value)
        shown = self.learnt(value).text(f"the key {said} is wrong")
        assert LEFT_OUT in shown
        assert len(shown) <= len(f"the key {LEFT_OUT} is wrong") + 16, "quotes of a spelling may stay"

    def test_two_that_overlap_leave_no_rest(self) -> None:
        assert self.learnt("abcdefgh-1", "fgh-12345").text("abcdefgh-12345") == LEFT_OUT

    def test_a_longer_secret_that_holds_a_shorter_one_goes_whole(self) -> None:
        assert self.learnt("abcdefgh", "abcdefgh-ijkl").text("x abcdefgh-ijkl y") == f"x {LEFT_OUT} y"

    def test_a_short_secret_is_masked_where_it_stands_alone(self) -> None:
        assert self.learnt("main").text("the main of domain") == f"the {LEFT_OUT} of domain"

    def test_everyday_values_hide_nothing(self) -> None:
        said = "attempt 1 of main, true: llama-server on 8000"
        assert self.learnt("1", "true", "8000").text(said) == said
        assert self.learnt("llama-server", "main", name="FLAVOUR").text(said) == said

    def test_credentials_that_no_manifest_holds(self) -> None:
        said = 'POST https://u:p@h/x\nAuthorization: Bearer abcdefgh1234\n{"authorization": "Basic dXNlcjpwdw=="}\n'
        shown = Redaction().text(said)
        assert shown.splitlines()[0] == "POST https://h/x"
        assert "abcdefgh1234" not in shown
        assert "dXNlcjpwdw" not in shown

    def test_too_many_values_give_no_log(self) -> None:
        redaction = self.learnt(*(f"value-{n:06}" for n in range(MOST_VALUES + 1)))
        with pytest.raises(TooManyValues, match=f"more than {MOST_VALUES} values"):
            redaction.text("anything")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "value", "env", "annotations", "message", "args", "path", "token", "httpHeaders"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "a=b ",
            "a=,",
            "\\",
            "'",
            '"a":',
            '["a",',
            'x="\\',
            "-H a: ",
            "-u a:",
            "a.b-",
            "http://",
            "user : ",
        ),
        *("password: |\n ", "redis-cli ", "mysql -p ", '"password":[', '\\"a\\": \\"'),
    ],
)
def test_text_of_any_length_is_read_in_linear_time(text: str) -> None:
    """What grows with the square takes longer than a test may."""
    Redaction().object({"args": [text * (200_000 // len(text))]})


@given(value=JSON)
def test_every_object_can_be_redacted_and_written(value: Any) -> None:
    """Whatever an object holds: it comes back in YAML, and redacting it again changes nothing."""
    once = Redaction().object(value)
    yaml.safe_dump(once).encode()
    assert Redaction().object(once) == once
