"""schemathesis over docs/openapi.yaml: whatever fits the file, or just does not, is answered by it."""

from pathlib import Path

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

SPEC = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
schema = schemathesis.openapi.from_path(SPEC)


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # What is found is told as it is; making it small takes longer than the search.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_request_gets_a_documented_answer(case, api_server):
    if isinstance(case.body, dict) and "model_id" in case.body:
        # Deeper in: a model that is here, and nothing that runs long.
        small = {"width": 64, "height": 64, "samples": 1, "highres_fix": None, "upscale": "no"}
        case.body |= {"model_id": "f222-diffusion", **small}
        case.body.pop("steps", None)
        case.body["num_inference_steps"] = 1
    with requests.Session() as session:
        case.call_and_validate(base_url=api_server.url, session=session, checks=CHECKS, timeout=60)
